// The phones of whoever is on call: what PagerDuty told them and when, and what they can do about it there.

import { avatar, h, keyed } from "./dom.js";
import { notice, said } from "./menu.js";
import { withEmoji } from "./emoji.js";
import { post } from "./stream.js";
import { clock, dayOf, sameDay, timeOf } from "./time.js";

const WORDS = { push: "push", phone: "phone call", sms: "text message", email: "e-mail" };
const ICONS = { push: "📲", phone: "📞", sms: "💬", email: "✉️" };
const ACTS = { acknowledge: ["Acknowledge", "ack", "go"], resolve: ["Resolve", "resolve", ""], escalate: ["Escalate", "escalate", ""] };
const SHOWN = 3;

export class Phones {
  #store;
  #heard = null;

  constructor(store) {
    this.#store = store;
    store.on(["phones", "cast"], () => this.draw());
    store.on(["pagerduty", "cast", "pointed"], () => this.#incidents());
  }

  draw() {
    const { phones, cast } = this.#store.state;
    if (!cast.length) return;
    const fresh = this.#fresh(phones);
    keyed(document.getElementById("phones"), [...phones].sort((one, other) => (one.level ?? 9) - (other.level ?? 9)), (one) => one.person,
      (one) => JSON.stringify(one), (one) => this.#phone(one, fresh.has(one.person)));
    const ringing = phones.filter(isRinging).length;
    const badge = document.getElementById("ringing-badge");
    badge.hidden = !ringing;
    badge.textContent = ringing;
    document.title = ringing ? "📟 ringing · Firstfive" : "Firstfive sandbox";
  }

  /** Whose phone has something on it that was not there when we last looked. */
  #fresh(phones) {
    const before = this.#heard;
    this.#heard = new Set(phones.flatMap((one) => one.notifications.map((each) => each.id)));
    if (!before) return new Set();
    return new Set(phones.filter((one) => one.notifications.some((each) => !before.has(each.id))).map((one) => one.person));
  }

  #phone(phone, isFresh) {
    const person = this.#store.user(phone.person) ?? { real_name: phone.person };
    const calls = byIncident(phone.notifications);
    const open = calls.filter((one) => one.status !== "resolved");
    const rings = isRinging(phone);
    const others = [...new Set(open.map((one) => one.acknowledged_by))];
    const state = rings ? "Ringing" : open.length ? (others.includes(phone.person) ? "On it" : this.#isOnIt(others)) : calls.length ? "Quiet again" : "Quiet";
    const kind = `phone ${rings ? "ringing" : ""} ${isFresh && rings ? "just-rang" : ""} ${open.length ? "busy-line" : "quiet"}`;
    return h("section", { class: kind, tint: person.avatar_color, "data-testid": `phone-${phone.person}`, "data-ringing": rings ? "yes" : "no", "aria-label": `${person.real_name}'s phone` },
      h("header", {}, avatar(person, "small"),
        h("div", { class: "owner" }, h("b", {}, person.real_name), h("span", { class: "level" }, levelWords(phone.level))),
        h("span", { class: "state", role: "status" }, state)),
      calls.slice(0, Math.max(open.length, 1)).slice(0, SHOWN).map((one) => this.#call(phone.person, one)),
      calls.length > SHOWN && open.length > SHOWN ? h("p", { class: "more" }, `and ${open.length - SHOWN} more`) : null);
  }

  #call(person, call) {
    return h("article", { class: `call is-${call.status}`, "data-testid": "phone-call", "data-incident": call.incident_id },
      h("div", { class: "call-head" }, h("span", { class: "pd", "aria-hidden": "true" }, "P"), h("b", {}, `PagerDuty · ${call.service ?? ""}`), h("time", {}, when(call.times[0].at))),
      h("p", { class: "call-title" }, withEmoji(call.title)),
      h("ul", { class: "rang" }, call.times.slice(0, 4).reverse().map((one) => h("li", {},
        h("span", { "aria-hidden": "true" }, ICONS[one.channel] ?? "🔔"), ` ${WORDS[one.channel] ?? one.channel} · level ${one.level} · `, h("time", {}, when(one.at, true))))),
      call.status === "triggered" ? null : h("p", { class: "outcome" }, call.status === "resolved" ? "✔ Resolved" : `✔ Acknowledged by ${this.#first(call.acknowledged_by) ?? "the bot's key, no person"}`),
      call.can.length ? h("div", { class: "acts" }, call.can.map((name) => this.#act(person, call, name))) : null);
  }

  #first(name) {
    return name ? (this.#store.user(name)?.real_name ?? name).split(" ")[0] : null;
  }

  /** Who took the calls that this phone got and its owner did not take. */
  #isOnIt(names) {
    const [name] = names;
    return names.length === 1 && name ? `${this.#first(name)} is on it` : "Taken";
  }

  #act(person, call, name) {
    const [label, id, style] = ACTS[name] ?? [name, name, ""];
    const act = async (event) => {
      const node = event.currentTarget;
      node.classList.add("busy");
      try {
        await post("phone", { person, incident: call.incident_id, action: name });
      } catch (error) {
        said(error);
      } finally {
        node.classList.remove("busy");
      }
    };
    return h("button", { type: "button", class: `act ${style}`, "data-testid": `phone-${id}`, onclick: act }, label);
  }

  // --- PagerDuty's own list ---------------------------------------------------------------------

  #incidents() {
    const { incidents } = this.#store.state.pagerduty;
    const place = document.getElementById("pagerduty");
    document.getElementById("pagerduty-empty").hidden = incidents.length > 0;
    const pointed = this.#store.ui.pointed;
    keyed(place, incidents.slice(0, 8), (one) => one.id, (one) => JSON.stringify([one, one.id === pointed]), (one) => this.#line(one, one.id === pointed));
    if (pointed) place.querySelector(".is-pointed")?.scrollIntoView({ block: "nearest" });
  }

  #line(one, isPointed) {
    const names = (list) => list.map((name) => this.#first(name)).join(", ");
    const who = { triggered: `level ${one.level}: ${names(one.assignees)}`, acknowledged: `by ${one.acknowledged_by ? names([one.acknowledged_by]) : "the key's owner"}`, resolved: "" }[one.status];
    return h("li", { class: `pd-incident is-${one.status} ${isPointed ? "is-pointed" : ""}`, "data-testid": "pagerduty-incident", "data-incident": one.id, "data-status": one.status },
      h("span", { class: "pill" }, one.status), h("span", { class: "pd-title", title: one.title }, `#${one.number} ${one.title}`), h("small", {}, [one.service, one.urgency === "low" ? "low urgency" : "", who].filter(Boolean).join(" · ")));
  }
}

function byIncident(notifications) {
  const calls = new Map();
  for (const one of notifications) {
    if (!calls.has(one.incident_id)) calls.set(one.incident_id, { ...one, times: [] });
    calls.get(one.incident_id).times.push(one);
  }
  const rank = { triggered: 0, acknowledged: 1, resolved: 2 };
  return [...calls.values()].sort((one, other) => rank[one.status] - rank[other.status]);
}

function isRinging(phone) {
  return phone.notifications.some((one) => one.status === "triggered");
}

function levelWords(level) {
  return level === null || level === undefined ? "on no level" : `Level ${level}${level === 1 ? " · on call now" : ""}`;
}

function when(at, seconds = false) {
  const date = new Date(at);
  const time = timeOf(date, seconds);
  return sameDay(date, clock.now()) ? time : `${dayOf(date)}, ${time}`;
}

/** Say that the phone rang, where the phones are out of sight. */
export function sayRinging(store) {
  let before = null;
  let shown = null;
  store.on(["phones"], () => {
    if (!store.state.cast.length) return;
    const ringing = store.state.phones.filter(isRinging);
    if (before !== null && ringing.length > before && store.ui.tab === "workspace" && matchMedia("(max-width: 900px)").matches) {
      const name = store.user(ringing.at(-1).person)?.real_name ?? ringing.at(-1).person;
      shown = notice(`📟 ${name}'s phone is ringing`, { act: { label: "Pick it up", act: () => store.show({ tab: "phones" }) } });
    }
    before = ringing.length;
    if (!before) shown?.remove();
  });
  store.on(["tab"], () => shown?.remove());
}

