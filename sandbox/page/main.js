/*
 * The sandbox's page: a Slack workspace, the phones of whoever is on call, and the world's switches, live.
 *
 * The server says everything: `GET /_person/state` once, `GET /_person/events` from then on; what a person does is a
 * small POST under `/_person/`. Nothing is drawn that the server did not say.
 *
 *   store.js     what the page knows            messages.js  the open channel      phones.js    the on-call phones
 *   stream.js    the line to the server         blocks.js    Block Kit             controls.js  alerts, faults, clock
 *   main.js      puts it together               mrkdwn.js    Slack's text          guide.js     what to press first
 *   sidebar.js   channels and people            markdown.js  Markdown              composer.js  what one types
 *   modal.js     forms                          fields.js    what one fills in     files.js     files and their reader
 *   explained.js what the bot says of an alert
 *
 * Names to hold on to in a test (data-testid):
 *   channel-{name}  channel-title  channel-topic  pins  members  bookmark
 *   message (with data-ts; data-ephemeral="yes" where only one person sees it)  button, select, overflow (with
 *   data-action-id, data-value)  menu  confirm  confirm-ok  confirm-deny  reply  thread-link  thread  thread-input
 *   file (with data-name)  file-read  reader  reader-close
 *   person-{name}  composer  send  suggestion
 *   modal (with data-view-id)  field-{block_id}  field-error  modal-submit  modal-close
 *   phone-{name} (with data-ringing="yes|no")  phone-call (with data-incident)  phone-ack  phone-resolve  phone-escalate
 *   pagerduty-incident (with data-incident, data-status)
 *   sample-{source}-{example}  explain-{source}-{example}  explained (with data-sent="yes|no")  verdict  then
 *   fact-{name}  explained-fire  explain-again  explain-{firing|resolved}  explained-incident  explained-close
 *   fault-{slack|pagerduty}-{up|slow|limited|down|revoked}  webhooks
 *   clock  clock-plus-1m  clock-plus-5m  clock-plus-30m  clock-plus-1w
 *   guide-{fire|phone|acknowledge|update|resolve|read} (with data-done="yes|no")  guide-hide
 *   tab-workspace  tab-phones  tab-controls  link (with data-link="live|lost|connecting")  notice
 */

import { Composer } from "./composer.js";
import { Controls } from "./controls.js";
import { Guide } from "./guide.js";
import { notice } from "./menu.js";
import { Messages } from "./messages.js";
import { Modal } from "./modal.js";
import { Phones, sayRinging } from "./phones.js";
import { Sidebar } from "./sidebar.js";
import { Store } from "./store.js";
import { follow } from "./stream.js";

const store = new Store();
let opened = null;
const messages = new Messages(store);
const composer = new Composer(store);
new Sidebar(store);
new Modal(store, () => messages.context(null, null));
new Phones(store);
new Controls(store);
new Guide(store, {
  fire: () => point("controls", "#samples"),
  phone: () => point("phones", "#phones"),
  acknowledge: () => point("phones", "#phones .act.go, #phones"),
  update: () => inIncident(() => composer.offer("/incident update ")),
  resolve: () => inIncident(() => composer.offer("/incident resolve ")),
  read: () => readDraft(),
});
document.addEventListener("offer", (event) => composer.offer(event.detail));
sayRinging(store);
tabs();
places();
line();
follow(store);

// --- where one is -----------------------------------------------------------------------------

/** The address names the open channel, and a message in it; PagerDuty's links name an incident. */
function places() {
  store.on(["channels"], () => {
    if (!store.channel) store.show({ channel: wanted()?.id ?? (store.channelOf("incidents") ?? store.channels[0])?.id ?? null });
    const { fresh } = store.ui;
    store.ui.fresh = null;
    const channel = fresh && store.channelOf(fresh.id);
    if (!channel || !store.mayRead(channel) || channel.is_im) return;
    opened?.remove();
    opened = notice(`#${fresh.name} was opened`, { act: { label: "Go there", act: () => store.show({ channel: fresh.id, thread: null, tab: "workspace" }) } });
  });
  store.on(["channel"], () => {
    const { channel } = store;
    if (!channel) return;
    store.ui.opened.add(channel.id);
    opened?.remove();
    const [name] = place();
    if (name !== channel.name && !location.hash.startsWith("#pagerduty=")) history.replaceState(null, "", `#${channel.name}`);
  });
  store.on(["drawer", "channel"], () => document.body.classList.toggle("drawer", Boolean(store.ui.drawer)));
  document.getElementById("drawer-open").addEventListener("click", () => store.show({ drawer: !store.ui.drawer }));
  document.getElementById("drawer-shade").addEventListener("click", () => store.show({ drawer: false }));
  addEventListener("hashchange", go);
}

function place() {
  return decodeURIComponent(location.hash.slice(1)).split("/");
}

function wanted() {
  return store.channels.find((one) => one.name === place()[0]);
}

function go() {
  const [name, ts] = place();
  if (name.startsWith("pagerduty=")) return store.show({ pointed: name.slice(10), tab: "phones" });
  const channel = wanted();
  if (!channel) return undefined;
  store.show({ channel: channel.id, thread: null, tab: "workspace" });
  return ts && requestAnimationFrame(() => messages.jump(ts));
}

// --- tabs, on a narrow screen -----------------------------------------------------------------

function tabs() {
  const all = [...document.querySelectorAll("[data-tab]")];
  const draw = () => {
    document.body.dataset.showing = store.ui.tab;
    for (const one of all) one.setAttribute("aria-selected", String(one.dataset.tab === store.ui.tab));
  };
  for (const one of all) one.addEventListener("click", () => store.show({ tab: one.dataset.tab, drawer: false }));
  store.on(["tab"], draw);
  draw();
}

/** Say how the line to the sandbox is. */
function line() {
  const node = document.getElementById("link");
  const words = { live: "Live", lost: "Connection lost: what you see may be old. Trying again …", connecting: "Connecting …" };
  store.on(["link"], () => {
    node.dataset.link = store.ui.link;
    node.lastElementChild.textContent = words[store.ui.link];
    document.body.classList.toggle("is-lost", store.ui.link === "lost");
    if (store.ui.link === "live" && location.hash.includes("/")) go();
  });
}

// --- what the guide's steps lead to -----------------------------------------------------------

function point(tab, selector) {
  store.show({ tab });
  const node = document.querySelector(selector);
  node?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  node?.classList.remove("is-pointed");
  requestAnimationFrame(() => node?.classList.add("is-pointed"));
}

function inIncident(act) {
  const found = store.channels.filter((one) => /^inc-\d/.test(one.name) && !one.is_archived).at(-1);
  store.show({ tab: "workspace", ...(found ? { channel: found.id, thread: null } : {}) });
  act();
}

function readDraft() {
  const channel = store.channels.findLast((one) => one.messages.some((message) => message.files?.length));
  if (!channel) return notice("There is no draft yet. It is posted once the incident is resolved.");
  const message = channel.messages.findLast((one) => one.files?.length);
  store.show({ tab: "workspace", channel: channel.id, thread: null });
  return requestAnimationFrame(() => messages.jump(message.ts));
}
