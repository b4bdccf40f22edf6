// What `python -m bot explain` says of an example: under its line, before it is sent and after.

import { h } from "./dom.js";
import { notice, said } from "./menu.js";
import { post } from "./stream.js";
import { clock, timeOf } from "./time.js";

const AGAIN_MS = 400;
const OUTCOMES = { open: "Opens an incident", join: "Joins an incident", relate: "Is related to an incident", reopen: "Opens an incident again", update: "Changes an incident", announce: "Is announced", record: "Is recorded", drop: "Is dropped", report: "Is told to its incident", ignore: "Is ignored" };

/** Ask what would come of an example now; shown under its line. */
export async function explain(store, { source, example, title, status }) {
  const sees = await post("explain", { source, example });
  const explained = { source, example, title, status, sees, askedAt: clock.now(), sentAt: null };
  store.show({ explained });
  return explained;
}

/** Send an example to the bot, as its sender would, with what was to come of it; `node` shows that it is on its way. */
export async function fire(store, one, node) {
  node.classList.add("busy");
  try {
    // What it would do is asked first: afterwards it has been done. An alert is sent whatever becomes of that question.
    const told = await explain(store, one).catch(() => null);
    const sees = await post("alert", { source: one.source, example: one.example });
    if (sees.ok === false || sees.status >= 400) throw new Error(sees.error ?? `The bot answered ${sees.status} to the alert.`);
    if (told) store.show({ explained: { ...told, sentAt: clock.now() } });
    notice(one.status === "resolved" ? "All clear sent" : "Alert sent", { kind: "good" });
  } catch (error) {
    said(error);
  } finally {
    node.classList.remove("busy");
  }
}

/** Keeps what is explained true for as long as it was not sent: the record goes on meanwhile. */
export function keepTrue(store) {
  let again = null;
  store.on(["channels", "pagerduty", "now"], () => {
    const { explained } = store.ui;
    if (!explained || explained.sentAt) return;
    clearTimeout(again);
    again = setTimeout(() => {
      if (store.ui.explained === explained) explain(store, explained).catch(() => {});
    }, AGAIN_MS);
  });
}

/** The card of what is explained. `lines` are the examples of its line: the one that fires, and its all clear. */
function card(store, lines) {
  const { explained } = store.ui;
  const { sees, sentAt, askedAt } = explained;
  return h("section", { class: "explained", "data-testid": "explained", "data-sent": sentAt ? "yes" : "no", "aria-label": `What the bot says of ${explained.title}`, "aria-live": "polite" },
    h("header", {},
      lines.length > 1 ? h("div", { class: "which", role: "group", "aria-label": "Which of the two" }, lines.map((one) => h("button", { type: "button", "aria-pressed": String(one.example === explained.example), "data-testid": `explain-${one.status}`, onclick: () => explain(store, one).catch(said) }, one.status))) : null,
      h("span", { class: "when" }, sentAt ? `Sent at ${timeOf(sentAt, true)}` : `If sent at ${timeOf(askedAt, true)}`),
      h("button", { type: "button", class: "close", "aria-label": "Close what is explained", "data-testid": "explained-close", onclick: () => store.show({ explained: null }) }, "×")),
    h("p", { class: `signed ${sees.verified === false ? "is-bad" : sees.verified ? "is-good" : ""}` }, sees.headline),
    sees.ignored ? h("p", { class: "ignored" }, `Nothing to act on: ${sees.ignored}`) : null,
    sees.alerts.map((one) => alertCard(store, one)),
    h("footer", {},
      sentAt ? h("button", { type: "button", class: "button", "data-testid": "explain-again", onclick: () => explain(store, explained).catch(said) }, "And once more?")
        : h("button", { type: "button", class: "button primary", "data-testid": "explained-fire", onclick: (event) => fire(store, explained, event.currentTarget) }, explained.status === "resolved" ? "Send the all clear" : "Send it"),
      h("small", { title: "python -m bot explain" }, "as ", h("code", {}, "bot explain"), " says it")));
}

/** What the bot would do, in the order in which somebody asks; all other facts are of the alert itself. */
const DOES = ["incident", "would page", "runbook", "roles", "channel", "group", "route"];

/** Facts by their names, a row each; nothing where there are none. */
function table(caption, facts, one) {
  if (!facts.length) return null;
  const tones = { status: one.status, severity: one.severity, "would page": one.pages ? "paging" : "quiet" };
  return h("table", { class: "facts" }, h("caption", {}, caption), h("tbody", {}, facts.map(([fact, value]) => {
    const name = `fact-${fact.replaceAll(" ", "-")}`;
    return h("tr", {}, h("th", { scope: "row" }, fact), h("td", { class: `${name} is-${tones[fact] ?? "told"}`, "data-testid": name }, h("span", {}, value)));
  })));
}

function alertCard(store, one) {
  const { then, ...facts } = one.facts;
  const channel = one.incident && store.channels.find((found) => found.name.startsWith(`${one.incident.toLowerCase()}-`));
  return h("div", { class: "explained-alert" },
    h("h3", {}, one.title),
    h("div", { class: `verdict is-${one.outcome}`, "data-testid": "verdict" },
      h("b", {}, OUTCOMES[one.outcome] ?? one.outcome, one.opens ? h("span", { class: "pill" }, one.opens) : null,
        channel ? h("button", { type: "button", class: "pill link", "data-testid": "explained-incident", onclick: () => store.show({ channel: channel.id, thread: null, tab: "workspace" }) }, one.incident) : one.incident ? h("span", { class: "pill" }, one.incident) : null),
      h("p", { "data-testid": "then" }, then)),
    table("What the bot would do", DOES.filter((fact) => fact in facts).map((fact) => [fact, facts[fact]]), one),
    table("What came in", Object.entries(facts).filter(([fact]) => !DOES.includes(fact)), one));
}

/** Put the card under its line, of all that are shown; away from wherever it was. The focus stays. */
export function place(store, root) {
  const { explained } = store.ui;
  const focused = document.activeElement?.dataset?.testid;
  root.querySelectorAll(".explained").forEach((node) => node.remove());
  root.querySelectorAll("[aria-expanded]").forEach((node) => node.setAttribute("aria-expanded", "false"));
  if (!explained) return;
  const line = [...root.querySelectorAll(".sample")].find((node) => node.examples.some((one) => one.source === explained.source && one.example === explained.example));
  if (!line) return;
  const made = card(store, line.examples);
  line.append(made);
  line.querySelector("[aria-expanded]").setAttribute("aria-expanded", "true");
  line.closest("details").open = true;
  if (focused) made.querySelector(`[data-testid="${focused}"]`)?.focus({ preventScroll: true });
}
