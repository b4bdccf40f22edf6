// What one does to the world: fire an alert, break a neighbour, move the clock.

import { fill, h } from "./dom.js";
import { explain, fire, keepTrue, place } from "./explained.js";
import { said } from "./menu.js";
import { post } from "./stream.js";
import { ahead, clock, timeOf } from "./time.js";

const NEIGHBOURS = [["slack", "Slack"], ["pagerduty", "PagerDuty"]];
const STATES = [["up", "Up", "answers at once"], ["slow", "Slow", "answers after some seconds"], ["limited", "Limited", "answers 429, too many requests"], ["down", "Down", "answers 503"], ["revoked", "No token", "refuses the bot's token"]];
const STEPS = [["plus-1m", "+1 min", 60], ["plus-5m", "+5 min", 300], ["plus-30m", "+30 min", 1800], ["plus-1w", "+1 week", 7 * 86_400]];

export class Controls {
  #store;

  constructor(store) {
    this.#store = store;
    this.#clock();
    store.on(["samples"], () => this.#samples());
    store.on(["samples", "explained"], () => place(store, document.getElementById("samples")));
    keepTrue(store);
    store.on(["faults", "webhooks_on"], () => this.#faults());
  }

  // --- the clock --------------------------------------------------------------------------------

  #clock() {
    fill(document.getElementById("clock-steps"), STEPS.map(([name, label, seconds]) => h("button", {
      type: "button", class: "step", "data-testid": `clock-${name}`, title: `Move the clock ${label}; what falls due happens in its order`, onclick: (event) => advance(event.currentTarget, seconds),
    }, label)));
    const tick = () => {
      const now = clock.now();
      document.getElementById("clock-time").textContent = timeOf(now, true);
      document.getElementById("clock-date").textContent = now.toLocaleDateString(undefined, { weekday: "short", day: "numeric", month: "short" });
      document.getElementById("clock-ahead").textContent = ahead(clock.offsetSeconds);
    };
    tick();
    setInterval(tick, 250);
  }

  // --- alerts -----------------------------------------------------------------------------------

  #samples() {
    const { samples } = this.#store.state;
    const groups = Map.groupBy ? Map.groupBy(samples, (one) => one.source) : grouped(samples);
    document.getElementById("samples-empty").hidden = samples.length > 0;
    fill(document.getElementById("samples"), [...groups].map(([source, list], index) => h("details", { open: index === 0, name: "source", class: "source", "data-testid": `source-${source}` },
      h("summary", {}, list[0].source_title ?? source, h("small", {}, list.length)), h("ul", {}, paired(list).map(([one, over]) => this.#sample(one, over))))));
  }

  /** A line that fires an alert; where its all clear is known, that stands beside it. */
  #sample(one, over) {
    const isOver = one.status === "resolved";
    const line = h("li", { class: `sample ${isOver ? "is-resolved" : "is-firing"}` },
      h("button", { type: "button", class: "fire", "data-testid": `sample-${one.source}-${one.example}`, title: `${one.title} (${one.status})`, onclick: (event) => fire(this.#store, one, event.currentTarget) },
        h("span", { class: "dot", "aria-hidden": "true" }), h("span", { class: "title" }, one.title), isOver ? h("small", {}, "resolved") : h("span", { class: "unseen" }, one.status)),
      over ? h("button", { type: "button", class: "clear", "data-testid": `sample-${over.source}-${over.example}`, title: `${over.title}: all clear`, onclick: (event) => fire(this.#store, over, event.currentTarget) }, "resolve") : null,
      h("button", { type: "button", class: "why", "aria-expanded": "false", "aria-label": `What would come of ${one.title}`, title: "What would come of it?", "data-testid": `explain-${one.source}-${one.example}`, onclick: (event) => this.#ask(one, event.currentTarget) }, "?"));
    line.examples = [one, over].filter(Boolean);
    return line;
  }

  /** Explain an example, or close what is explained of it. Only who asks is led there: who fires looks at the phones. */
  #ask(one, node) {
    if (node.getAttribute("aria-expanded") === "true") return this.#store.show({ explained: null });
    return explain(this.#store, one).then(() => document.querySelector(".explained")?.scrollIntoView({ block: "nearest" })).catch(said);
  }

  // --- breaking things --------------------------------------------------------------------------

  #faults() {
    const { faults, webhooks_on: isOn, webhooks_disabled: isDisabled } = this.#store.state;
    const place = document.getElementById("faults");
    const focused = document.activeElement?.dataset?.testid;
    fill(place, NEIGHBOURS.map(([id, name]) => this.#neighbour(id, name, faults[id] ?? "up")), this.#webhooks(isOn, isDisabled));
    if (focused) place.querySelector(`[data-testid="${focused}"]`)?.focus();
    this.#banner("slack", faults.slack, "Slack's API", "People can still read and type; what the bot has to say waits.");
    this.#banner("pagerduty", faults.pagerduty, "PagerDuty", faults.pagerduty === "slow" ? "A page takes longer to get there." : "It takes no new page: no new phone rings.");
  }

  /** Say beside what is affected that a neighbour is not well, and what that means for people. */
  #banner(id, state, name, means) {
    const broken = { down: "is down: the bot cannot reach it", slow: "is slow", limited: "limits the bot", revoked: "refuses the bot's token" }[state];
    const banner = document.getElementById(`${id}-banner`);
    banner.hidden = !broken;
    banner.textContent = broken ? `${name} ${broken}. ${means}` : "";
  }

  #neighbour(id, name, now) {
    return h("div", { class: "neighbour" }, h("span", { class: "label", id: `label-${id}` }, h("i", { class: `lamp is-${now}`, "aria-hidden": "true" }), name),
      h("div", { class: "segments", role: "radiogroup", "aria-labelledby": `label-${id}` }, STATES.map(([state, label, means]) => h("button", {
        type: "button", role: "radio", "aria-checked": String(state === now), class: `is-${state}`, "data-testid": `fault-${id}-${state}`, title: `${name} ${means}`,
        tabindex: state === now ? "0" : "-1", onclick: () => post("fault", { neighbour: id, state }).catch(said), onkeydown: chooseNext,
      }, label))));
  }

  #webhooks(isOn, isDisabled) {
    return h("div", { class: "neighbour" }, h("span", { class: "label" }, "Webhooks", isDisabled ? h("small", {}, " switched off by PagerDuty after too many failures") : null),
      h("button", { type: "button", role: "switch", class: "switch", "aria-checked": String(Boolean(isOn)), "aria-label": "PagerDuty's webhooks", "data-testid": "webhooks", title: "PagerDuty tells the bot what happens; without that the bot asks", onclick: () => post("webhooks", { on: !isOn }).catch(said) },
        h("span", { class: "knob", "aria-hidden": "true" }), h("span", {}, isOn ? "PagerDuty tells the bot" : "off: the bot has to ask")));
  }
}

/** The arrows choose within a group of radio buttons, as they do in any other. */
function chooseNext(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = [...event.currentTarget.parentElement.children];
  const next = all.at((all.indexOf(event.currentTarget) + step) % all.length);
  next.focus();
  next.click();
}

/** Each firing example with the resolved one of the same alert, if there is one; the others alone. */
function paired(list) {
  const firing = list.filter((one) => one.status !== "resolved");
  const over = list.filter((one) => one.status === "resolved");
  const lines = firing.map((one) => {
    const at = over.findIndex((other) => other.example.startsWith(one.example) || other.title === one.title);
    return [one, at < 0 ? null : over.splice(at, 1)[0]];
  });
  return [...lines, ...over.map((one) => [one, null])];
}

async function advance(node, seconds) {
  const all = node.parentElement.querySelectorAll("button");
  all.forEach((one) => { one.disabled = true; });
  node.classList.add("busy");
  try {
    await post("clock", { advance_seconds: seconds });
  } catch (error) {
    said(error);
  } finally {
    all.forEach((one) => { one.disabled = false; });
    node.classList.remove("busy");
    node.focus();
  }
}

function grouped(samples) {
  const groups = new Map();
  for (const one of samples) groups.set(one.source, [...(groups.get(one.source) ?? []), one]);
  return groups;
}
