// The line one types into, as any of the cast: messages, slash commands with suggestions, names, and what was typed before.

import { avatar, fill, h, keyed } from "./dom.js";
import { said } from "./menu.js";
import { did } from "./store.js";
import { post } from "./stream.js";

const COMMAND = "/incident";
/** What `/incident` takes, and the words that usually follow. */
export const SUBCOMMANDS = [
  ["declare", "[sev1-5] [service] what is broken", ["sev1", "sev2", "sev3"]],
  ["ack", "I am on it", []],
  ["escalate", "I can't: page the next level", []],
  ["page", "@person or a service", ["@", "payments", "search", "platform"]],
  ["sev", "1 to 5", ["1", "2", "3", "4", "5"]],
  ["status", "where the work stands", ["investigating", "identified", "monitoring"]],
  ["role", "commander, deputy, scribe … and who", ["commander", "deputy", "scribe", "communications", "expert"]],
  ["note", "a line on the timeline", []],
  ["update", "tell everybody; end with next 15m to promise the next one", []],
  ["timeline", "what happened so far", []],
  ["alerts", "every alert of it", []],
  ["changes", "what was changed before it began", []],
  ["who", "who was paged, who is on it", []],
  ["list", "the open incidents", []],
  ["merge", "INC-8 into INC-7", []],
  ["split", "an alert out of its incident, and why", []],
  ["resolve", "what ended it", []],
  ["reopen", "it is back", []],
  ["cancel", "not an incident after all", []],
  ["close", "the review is done", []],
  ["postmortem", "draft it anew from the timeline", []],
  ["runbook", "what to do about it", []],
  ["silence", "service=checkout 2h and why", ["service=", "alertname=", "end", "list"]],
  ["silences", "what is quiet now", []],
  ["metrics", "the week's numbers", []],
  ["digest", "the weekly digest, for you alone", []],
  ["help", "everything", []],
];

export class Composer {
  #store;
  #at = { form: document.getElementById("composer-form"), input: document.getElementById("composer-input"), list: document.getElementById("suggestions"), cast: document.getElementById("cast") };
  #offers = [];
  #chosen = -1;
  #history = JSON.parse(sessionStorage.getItem("typed") ?? "[]");
  #back = 0;

  constructor(store) {
    this.#store = store;
    const { form, input } = this.#at;
    form.addEventListener("submit", (event) => { event.preventDefault(); this.#send(); });
    input.addEventListener("input", () => { this.#back = 0; this.#grow(); this.#suggest(); });
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("blur", () => setTimeout(() => this.#close(), 150));
    this.#threadForm();
    store.on(["cast", "person", "channel", "phones"], () => this.draw());
  }

  draw() {
    const { me, channel } = this.#store;
    this.#at.input.placeholder = channel ? `Message ${channel.is_im ? "Firstfive" : `#${channel.name}`} as ${me.real_name.split(" ")[0]}, or /incident …` : "";
    keyed(this.#at.cast, this.#store.state.cast, (one) => one.id, (one) => String(one.id === me.id), (one) => this.#chip(one, one.id === me.id));
  }

  #chip(one, isMe) {
    const choose = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const { cast } = this.#store.state;
      const next = cast.at((cast.indexOf(one) + step) % cast.length);
      this.#become(next);
      this.#at.cast.querySelector(`[data-testid="person-${next.name}"]`)?.focus();
    };
    return h("button", {
      type: "button", class: "chip", role: "radio", "aria-checked": String(isMe), tabindex: isMe ? "0" : "-1", "data-testid": `person-${one.name}`,
      title: `${one.real_name}: ${one.title}`, onclick: () => { this.#become(one); this.#at.input.focus(); }, onkeydown: choose,
    }, avatar(one, "tiny"), h("span", {}, one.real_name.split(" ")[0]), h("small", {}, one.role));
  }

  #become(one) {
    const person = one.name;
    this.#store.ui.person = person;
    const stays = this.#store.channel && this.#store.mayRead(this.#store.channel);
    this.#store.show(stays ? { person } : { person, channel: this.#store.channels[0]?.id ?? null, thread: null });
  }

  // --- sending ----------------------------------------------------------------------------------

  async #send() {
    const { input } = this.#at;
    const text = input.value.trim();
    if (!text || !this.#store.channel) return;
    this.#remember(text);
    input.value = "";
    this.#grow();
    this.#close();
    this.#at.form.classList.add("busy");
    try {
      await this.#deliver(text);
    } catch (error) {
      said(error);
      if (!input.value) input.value = text;
    } finally {
      this.#at.form.classList.remove("busy");
    }
  }

  async #deliver(text) {
    const where = { person: this.#store.me.name, channel: this.#store.channel.id, text };
    await post(text.startsWith("/") ? "slash" : "message", where);
    if (/^\/incident\s+(update|say|post)\s+\S/i.test(text)) did(this.#store, "update");
  }

  #threadForm() {
    const [form, input] = [document.getElementById("thread-form"), document.getElementById("thread-input")];
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (!text) return;
      input.value = "";
      post("message", { person: this.#store.me.name, channel: this.#store.channel.id, text, thread_ts: this.#store.ui.thread }).catch(said);
    });
    document.getElementById("thread-close").addEventListener("click", () => this.#store.show({ thread: null }));
  }

  #remember(text) {
    this.#history = [...this.#history.filter((one) => one !== text), text].slice(-50);
    sessionStorage.setItem("typed", JSON.stringify(this.#history));
    this.#back = 0;
  }

  // --- keys -------------------------------------------------------------------------------------

  #key(event) {
    const { input } = this.#at;
    const isOpen = this.#offers.length > 0;
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      const isHalf = /^\/\S*$/.test(input.value) && input.value !== COMMAND;
      if (isOpen && (this.#chosen >= 0 || isHalf)) this.#accept(Math.max(0, this.#chosen));
      else this.#send();
    } else if (event.key === "Tab" && isOpen && !event.shiftKey) {
      event.preventDefault();
      this.#accept(Math.max(0, this.#chosen));
    } else if (event.key === "Escape" && isOpen) this.#close();
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") this.#arrow(event, isOpen);
  }

  #arrow(event, isOpen) {
    const step = event.key === "ArrowUp" ? -1 : 1;
    if (isOpen && !this.#back) {
      event.preventDefault();
      this.#chosen = (Math.max(this.#chosen, step < 0 ? 0 : -1) + step + this.#offers.length) % this.#offers.length;
      this.#showOffers();
    } else if (this.#back || !this.#at.input.value) {
      event.preventDefault();
      this.#back = Math.max(0, Math.min(this.#history.length, this.#back - step));
      this.#at.input.value = this.#back ? this.#history.at(-this.#back) : "";
      this.#grow();
      this.#close();
    }
  }

  #grow() {
    const { input } = this.#at;
    input.style.height = "auto";
    input.style.height = `${Math.min(160, input.scrollHeight)}px`;
  }

  // --- suggestions ------------------------------------------------------------------------------

  #suggest() {
    const { input } = this.#at;
    const before = input.value.slice(0, input.selectionStart);
    this.#offers = offers(before, this.#store.state.cast);
    this.#chosen = -1;
    this.#showOffers();
  }

  #showOffers() {
    const { list, input } = this.#at;
    list.hidden = !this.#offers.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    fill(list, this.#offers.map((one, index) => h("li", {
      role: "option", id: `offer-${index}`, "aria-selected": String(index === this.#chosen), "data-testid": "suggestion",
      onpointerdown: (event) => { event.preventDefault(); this.#accept(index); },
    }, h("b", {}, one.label), h("span", {}, one.hint))));
    if (this.#chosen >= 0) {
      input.setAttribute("aria-activedescendant", `offer-${this.#chosen}`);
      list.children[this.#chosen].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }

  #accept(index) {
    const { input } = this.#at;
    const one = this.#offers[index];
    const after = input.value.slice(input.selectionStart);
    const before = input.value.slice(0, input.selectionStart).replace(/\S*$/, "") + one.text;
    input.value = before + after;
    input.setSelectionRange(before.length, before.length);
    input.focus();
    this.#grow();
    this.#suggest();
  }

  #close() {
    this.#offers = [];
    this.#chosen = -1;
    this.#showOffers();
  }

  /** Put words into the line, ready to be sent. */
  offer(text) {
    this.#at.input.value = text;
    this.#at.input.focus();
    this.#grow();
    this.#suggest();
  }
}

/** What may follow what was typed so far: { text, label, hint }. */
export function offers(before, cast) {
  const at = before.match(/(?:^|\s)@(\w*)$/);
  if (at) return people(at[1], cast);
  if (/^\/\S*$/.test(before)) return COMMAND.startsWith(before) ? [{ text: `${COMMAND} `, label: COMMAND, hint: "declare, ack, page, update, resolve … everything is in help" }] : [];
  const words = before.match(/^\/incident\s+(\S*)$/);
  if (words) return subcommands(words[1].toLowerCase());
  const argument = before.match(/^\/incident\s+(\S+)\s+(\S*)$/);
  if (!argument) return [];
  const sub = SUBCOMMANDS.find(([name]) => name === argument[1].toLowerCase());
  const wanted = argument[2].toLowerCase();
  const near = (sub?.[2] ?? []).filter((one) => one.startsWith(wanted) && one !== wanted);
  return near.map((one) => (one === "@" ? { text: "@", label: "@", hint: "a person" } : { text: `${one} `, label: one, hint: "" }));
}

function subcommands(wanted) {
  return SUBCOMMANDS.filter(([name]) => name.startsWith(wanted)).map(([name, hint]) => ({ text: `${name} `, label: name, hint }));
}

function people(wanted, cast) {
  return cast.filter((one) => one.name.startsWith(wanted.toLowerCase())).map((one) => ({ text: `@${one.name} `, label: `@${one.name}`, hint: `${one.real_name}, ${one.role}` }));
}
