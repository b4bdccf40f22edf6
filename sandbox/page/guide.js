// What to press first: six steps that tick themselves off as the story goes on.

import { h, keyed } from "./dom.js";
import { guide } from "./store.js";

export class Guide {
  #store;
  #go;

  /** `go` is what each step leads to, by the step's name. */
  constructor(store, go) {
    this.#store = store;
    this.#go = go;
    document.getElementById("guide-hide").addEventListener("click", () => this.#hide(true));
    document.getElementById("guide-show").addEventListener("click", () => this.#hide(false));
    store.on(["channels", "phones", "pagerduty", "did", "samples"], () => this.draw());
    this.#hide(guide.isHidden());
  }

  #hide(isHidden) {
    guide.hide(isHidden);
    document.getElementById("guide").hidden = isHidden;
    document.getElementById("guide-show").hidden = !isHidden;
  }

  draw() {
    const steps = done(this.#store);
    const now = steps.findIndex((one) => !one.isDone);
    keyed(document.getElementById("guide-steps"), steps.map((one, index) => ({ ...one, index })), (one) => one.name, (one) => `${one.isDone}${one.index === now}`, (one) => this.#step(one, one.index === now));
    const end = document.getElementById("guide-end");
    end.hidden = now >= 0;
    document.getElementById("guide-steps").classList.toggle("is-done", now < 0);
  }

  #step(one, isNext) {
    return h("li", { class: `${one.isDone ? "done" : ""} ${isNext ? "next" : ""}`, "data-testid": `guide-${one.name}`, "data-done": one.isDone ? "yes" : "no", "aria-current": isNext ? "step" : null },
      h("button", { type: "button", onclick: () => this.#go[one.name]?.() }, h("span", { class: "number", "aria-hidden": "true" }, one.isDone ? "✓" : one.index + 1), h("span", {}, one.label), one.isDone ? h("span", { class: "unseen" }, "done") : null));
  }
}

/** The steps, and which of them have happened. */
function done(store) {
  const { pagerduty, phones, channels } = store.state;
  const { did } = store.ui;
  const incidents = pagerduty.incidents;
  const says = (pattern) => channels.some((one) => one.messages.some((message) => message.bot_id && pattern.test(message.text ?? "")));
  return [
    { name: "fire", label: "Fire an alert", isDone: incidents.length > 0 },
    { name: "phone", label: "See Ana's phone ring", isDone: phones.some((one) => one.notifications.length > 0) },
    { name: "acknowledge", label: "Acknowledge", isDone: incidents.some((one) => one.acknowledged_by) || says(/^(<@\w+> )?✅.*acknowledged/) },
    { name: "update", label: "/incident update …", isDone: did.has("update") || says(/💬 \*Update on/) },
    { name: "resolve", label: "Resolve", isDone: says(/^🏁/) },
    { name: "read", label: "Read the draft", isDone: did.has("read") },
  ];
}
