// Forms: what the bot opened for the chosen person, filled in over the workspace; the phones beside it stay in reach.

import { blocks, text } from "./blocks.js";
import { fill, h } from "./dom.js";
import { field } from "./fields.js";
import { said } from "./menu.js";
import { did } from "./store.js";
import { post } from "./stream.js";

export class Modal {
  #store;
  #context;
  #shown = "";
  #fields = [];
  #at = { cover: document.getElementById("cover"), pane: document.getElementById("pane"), side: document.getElementById("sidebar"), elsewhere: document.getElementById("elsewhere") };
  #returnTo = null;

  constructor(store, context) {
    this.#store = store;
    this.#context = context;
    this.#at.cover.addEventListener("keydown", (event) => this.#key(event));
    store.on(["views", "person", "cast"], () => this.draw());
  }

  draw() {
    const { state, me } = this.#store;
    const mine = state.views.filter((one) => one.person === me.name && one.view.type !== "home").at(-1) ?? null;
    this.#others(state.views.filter((one) => one.person !== me.name));
    const mark = mine ? JSON.stringify([mine.id, mine.view, mine.errors]) : "";
    if (mark === this.#shown) return;
    const isSame = mine && this.#shown.startsWith(`["${mine.id}"`);
    const kept = isSame ? this.#values() : {};
    this.#shown = mark;
    if (mine) this.#show(mine, kept, isSame);
    else this.#hide();
  }

  /** A form that somebody else has open is said, so that it is not forgotten. */
  #others(views) {
    const { elsewhere } = this.#at;
    elsewhere.hidden = !views.length;
    fill(elsewhere, views.map((one) => h("span", {}, `${this.#store.user(one.person)?.real_name ?? one.person} has a form open: ${one.view.title?.text ?? ""}`)));
  }

  #show(mine, kept, isSame) {
    const { cover, pane, side } = this.#at;
    if (cover.hidden) this.#returnTo = document.activeElement;
    cover.hidden = false;
    pane.inert = side.inert = true;
    fill(cover, this.#form(mine, kept));
    const first = cover.querySelector(".has-error .field, .has-error input") ?? (isSame ? null : cover.querySelector(".field, .modal-body input"));
    (first ?? cover.querySelector("[data-testid=modal-submit], [data-testid=modal-close]"))?.focus();
  }

  #hide() {
    const { cover, pane, side } = this.#at;
    if (cover.hidden) return;
    cover.hidden = true;
    pane.inert = side.inert = false;
    fill(cover);
    this.#fields = [];
    this.#returnTo?.focus?.();
  }

  #form({ id, view, errors }, kept) {
    const ctx = { ...this.#context(), press: (action, value) => post("press", { person: this.#store.me.name, view_id: id, action_id: action, value }).catch(said) };
    this.#fields = [];
    const body = (view.blocks ?? []).map((one) => (one.type === "input" ? this.#input(one, ctx, errors ?? {}, kept) : blocks([one], ctx)));
    const submit = view.submit || view.blocks?.some((one) => one.type === "input");
    return h("form", { class: "modal", role: "dialog", "aria-modal": "true", "aria-labelledby": "modal-title", "data-testid": "modal", "data-view-id": id, novalidate: true, onsubmit: (event) => { event.preventDefault(); this.#submit(id, event.currentTarget); } },
      h("header", {}, h("span", { class: "avatar is-bot", "aria-hidden": "true" }, "5"), h("h2", { id: "modal-title" }, text(view.title, ctx)),
        h("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => this.#close(id) }, "×")),
      h("div", { class: "modal-body" }, body, h("p", { class: "modal-error", role: "alert", hidden: true })),
      h("footer", { class: "row end" },
        h("button", { type: "button", class: "button", "data-testid": "modal-close", onclick: () => this.#close(id) }, text(view.close, ctx) ?? "Close"),
        submit ? h("button", { type: "submit", class: "button primary solid", "data-testid": "modal-submit" }, text(view.submit, ctx) ?? "Submit") : null));
  }

  #input(block, ctx, errors, kept) {
    const made = field(block.element, ctx);
    const name = block.block_id ?? block.element.action_id;
    const wrong = errors[block.block_id] ?? errors[block.element.action_id];
    const id = made.node.id;
    if (name in kept) restore(made.node, kept[name]);
    this.#fields.push({ name, made, isOptional: block.optional });
    made.node.setAttribute("data-testid", `field-${name}`);
    made.node.setAttribute("aria-describedby", `${id}-more`);
    if (wrong) made.node.setAttribute("aria-invalid", "true");
    const label = [text(block.label, ctx), block.optional ? h("small", {}, " (optional)") : null];
    const isGroup = made.node.classList.contains("choices");
    if (isGroup) made.node.setAttribute("aria-label", block.label?.text ?? "");
    return h("div", { class: `input ${wrong ? "has-error" : ""}` },
      isGroup ? h("span", { class: "label" }, label) : h("label", { class: "label", for: id }, label), made.node,
      h("div", { id: `${id}-more` }, wrong ? h("p", { class: "wrong", "data-testid": "field-error" }, wrong) : null,
        block.hint ? h("p", { class: "hint" }, text(block.hint, ctx)) : null));
  }

  #values() {
    return Object.fromEntries(this.#fields.map(({ name, made }) => [name, made.read()]).filter(([, value]) => value !== undefined));
  }

  /** A field that must be filled in and is not: Slack's client asks before it sends. */
  #isComplete(form) {
    const empty = this.#fields.find(({ made, isOptional }) => !isOptional && (made.read() === "" || made.read()?.length === 0));
    form.querySelectorAll(".asked").forEach((node) => node.remove());
    if (!empty) return true;
    empty.made.node.after(h("p", { class: "wrong asked", role: "alert", "data-testid": "field-error" }, "Please complete this required field."));
    empty.made.node.focus();
    return false;
  }

  async #submit(id, form) {
    if (!this.#isComplete(form)) return;
    const button = form.querySelector("[type=submit]");
    const title = form.querySelector("h2").textContent;
    button.classList.add("busy");
    try {
      const sees = await post("submit", { person: this.#store.me.name, view_id: id, values: this.#values() });
      if (sees.error) this.#trouble(form, sees.error);
      else if (!sees.errors && title.startsWith("Update")) did(this.#store, "update");
    } catch (error) {
      this.#trouble(form, error.message);
    } finally {
      button.classList.remove("busy");
    }
  }

  #trouble(form, sentence) {
    const line = form.querySelector(".modal-error");
    line.hidden = false;
    line.textContent = sentence;
  }

  #close(id) {
    post("close", { person: this.#store.me.name, view_id: id }).catch(said);
  }

  /** Escape closes; Tab stays within the form. */
  #key(event) {
    const form = this.#at.cover.querySelector(".modal");
    if (!form) return;
    if (event.key === "Escape") this.#close(form.dataset.viewId);
    if (event.key !== "Tab") return;
    const all = [...form.querySelectorAll("button, input, select, textarea, a[href]")].filter((node) => node.offsetParent);
    const [first, last] = [all[0], all.at(-1)];
    const leaves = event.shiftKey ? document.activeElement === first : document.activeElement === last;
    if (!leaves) return;
    event.preventDefault();
    (event.shiftKey ? last : first).focus();
  }
}

function restore(node, value) {
  if (node.classList.contains("choices")) node.querySelectorAll("input").forEach((box) => { box.checked = [].concat(value).includes(box.value); });
  else node.value = value;
}
