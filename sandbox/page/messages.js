// The open channel: its header, its messages as Slack shows them, and the thread beside it.

import { blocks } from "./blocks.js";
import { fire } from "./explained.js";
import { avatar, fill, h, keyed } from "./dom.js";
import { emoji } from "./emoji.js";
import { fileCard } from "./files.js";
import { said } from "./menu.js";
import { inline, mrkdwn } from "./mrkdwn.js";
import { did } from "./store.js";
import { post } from "./stream.js";
import { dateOf, dayName, sameDay, timeOf } from "./time.js";

const NEAR_PX = 90;
const FIRST_PX = 34;
const TOGETHER_SECONDS = 300;
const QUICK = ["white_check_mark", "eyes", "pray"];

export class Messages {
  #store;
  #shown = null;
  #at = { list: document.getElementById("messages"), thread: document.getElementById("thread"), newer: document.getElementById("newer") };

  constructor(store) {
    this.#store = store;
    const { list, newer } = this.#at;
    newer.addEventListener("click", () => list.scrollTo({ top: list.scrollHeight, behavior: "smooth" }));
    list.addEventListener("scroll", () => this.#isNearEnd() && newer.setAttribute("hidden", ""), { passive: true });
    store.on(["channels", "channel", "person", "cast", "samples", "dismissed", "faults", "thread"], () => this.draw());
  }

  /** What blocks and mrkdwn need to know, for one message. */
  context(channel, message) {
    const store = this.#store;
    return {
      me: store.me.id,
      user: (id) => store.user(id),
      channel: (id) => store.channels.find((one) => one.id === id) ?? null,
      openChannel: (id) => store.show({ channel: id, thread: null }),
      people: () => store.state.cast,
      channels: () => store.channels,
      press: (action, value, node) => press(store, channel, message, action, value, node),
    };
  }

  draw() {
    const channel = this.#store.channel;
    document.getElementById("workspace").classList.toggle("with-thread", Boolean(this.#store.ui.thread));
    if (!channel) return;
    this.#header(channel);
    this.#list(channel);
    this.#thread(channel);
    if (document.visibilityState === "visible") this.#store.markRead(channel);
  }

  // --- the header -------------------------------------------------------------------------------

  #header(channel) {
    const ctx = this.context(channel, null);
    const title = channel.is_im ? "Firstfive" : channel.name;
    const mark = channel.is_im ? "" : channel.is_private ? "🔒 " : "# ";
    fill(document.getElementById("channel-title"), h("span", { class: "mark" }, mark), title,
      channel.is_archived ? h("span", { class: "tag" }, "archived") : null);
    fill(document.getElementById("channel-topic"), inline(channel.topic || channel.purpose || "", ctx));
    fill(document.getElementById("channel-facts"), this.#pins(channel), this.#members(channel));
    const bar = document.getElementById("bookmarks");
    bar.hidden = !channel.bookmarks.length;
    fill(bar, channel.bookmarks.map((one) => bookmark(one)));
  }

  #pins(channel) {
    if (!channel.pins.length) return null;
    const words = `${channel.pins.length} pinned`;
    return h("button", { type: "button", class: "fact", "data-testid": "pins", title: "Go to what is pinned", "aria-label": words, onclick: () => this.jump(channel.pins[0]) }, "📌 ", channel.pins.length, h("span", { class: "wide" }, " pinned"));
  }

  #members(channel) {
    const people = channel.members.map((id) => this.#store.user(id)).filter(Boolean);
    const names = people.map((one) => one.real_name).join(", ");
    return h("span", { class: "fact faces", title: names, "aria-label": `${people.length} members: ${names}`, role: "img", "data-testid": "members" },
      people.slice(0, 4).map((one) => avatar(one, "tiny")), h("span", { "aria-hidden": "true" }, people.length));
  }

  // --- the list ---------------------------------------------------------------------------------

  #list(channel) {
    const { list, newer } = this.#at;
    const isOther = this.#shown !== channel.id;
    const wasNear = this.#isNearEnd();
    const seen = this.#store.messages(channel).filter((one) => !one.thread_ts || one.thread_ts === one.ts);
    const built = keyed(list, [{ kind: "intro" }, ...this.#items(seen)], (one) => `${channel.id}${keyOf(one)}`, (one) => this.#mark(channel, one),
      (one) => this.#build(channel, one));
    this.#shown = channel.id;
    if (isOther || wasNear) {
      list.scrollTop = isOther ? this.#placeOf(channel, seen) : list.scrollHeight;
      newer.hidden = true;
    } else if (built.includes(list.lastElementChild)) newer.hidden = false;
    if (!isOther) built.filter((node) => node.dataset.ts).forEach((node) => node.classList.add("is-fresh"));
  }

  /** Where to begin to read: at the end, or at the first message where nothing of the channel was read yet. */
  #placeOf(channel, seen) {
    const { list } = this.#at;
    const isNew = this.#store.ui.read.get(channel.id) === "0";
    const first = isNew && seen.length ? list.querySelector(`[data-ts="${CSS.escape(seen[0].ts)}"]`) : null;
    return first ? Math.max(0, first.offsetTop - list.offsetTop - FIRST_PX) : list.scrollHeight;
  }

  #isNearEnd() {
    const { list } = this.#at;
    return list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_PX;
  }

  /** Messages with a divider before each new day; what one person says in a row stands together. */
  #items(messages) {
    const items = [];
    messages.forEach((message, index) => {
      const [date, last] = [dateOf(message.ts), messages[index - 1]];
      const isNewDay = !last || !sameDay(date, dateOf(last.ts));
      if (isNewDay) items.push({ kind: "day", date });
      const follows = !isNewDay && last.user === message.user && Number(message.ts) - Number(last.ts) < TOGETHER_SECONDS
        && last.ephemeral_for === message.ephemeral_for && !last.is_error;
      items.push({ kind: "message", message, follows });
    });
    return items;
  }

  #mark(channel, one) {
    if (one.kind === "day") return dayName(one.date);
    if (one.kind === "intro") return `${channel.name}${channel.purpose}${channel.messages.length > 0}${this.#store.state.samples.length}`;
    const { message } = one;
    return JSON.stringify([message, one.follows, channel.pins.includes(message.ts), this.#replies(channel, message).length, this.#store.me.id, this.#store.state.cast.length]);
  }

  #build(channel, one) {
    if (one.kind === "day") return h("div", { class: "day", role: "separator" }, h("span", {}, dayName(one.date)));
    if (one.kind === "intro") return intro(this.#store, channel);
    return this.#message(channel, one.message, { follows: one.follows });
  }

  #replies(channel, message) {
    return channel.messages.filter((one) => one.thread_ts === message.ts && one.ts !== message.ts && this.#store.sees(one));
  }

  #message(channel, message, { follows = false, inThread = false } = {}) {
    const author = this.#store.user(message.user) ?? { real_name: message.username ?? "somebody" };
    const isMine = Boolean(message.ephemeral_for);
    const kind = `message ${follows ? "follows" : ""} ${isMine ? "ephemeral" : ""} ${message.is_error ? "failed" : ""} ${channel.pins.includes(message.ts) ? "pinned" : ""}`;
    const date = dateOf(message.ts);
    const replies = inThread ? [] : this.#replies(channel, message);
    return h("article", { class: kind, "data-testid": "message", "data-ts": message.ts, "data-ephemeral": isMine ? "yes" : null, "aria-label": `${author.real_name}, ${timeOf(date)}` },
      h("div", { class: "gutter" }, follows ? h("time", {}, timeOf(date)) : avatar(author)),
      h("div", { class: "content" },
        channel.pins.includes(message.ts) ? h("div", { class: "note" }, "📌 Pinned by Firstfive") : null,
        isMine ? h("div", { class: "note" }, "👁️ Only visible to you") : null,
        follows ? null : byline(author, date),
        this.#words(channel, message),
        (message.files ?? []).map((file) => fileCard(file, () => did(this.#store, "read"))),
        this.#reactions(channel, message),
        replies.length ? this.#threadLink(message, replies) : null,
        isMine ? h("button", { type: "button", class: "link small", onclick: () => this.#dismiss(message) }, "Dismiss message") : null),
      isMine ? null : this.#tools(channel, message, inThread));
  }

  #words(channel, message) {
    const ctx = this.context(channel, message);
    const body = message.blocks?.length ? blocks(message.blocks, ctx) : message.text ? h("div", { class: "b-text" }, mrkdwn(message.text, ctx)) : null;
    const edited = message.edited ? h("span", { class: "edited", title: "This message was changed" }, "(edited)") : null;
    return body || edited ? h("div", { class: "words" }, body, edited) : null;
  }

  #dismiss(message) {
    this.#store.ui.dismissed.add(message.ts);
    this.#store.changed(["dismissed"]);
  }

  // --- reactions and threads --------------------------------------------------------------------

  #reactions(channel, message) {
    if (!message.reactions?.length) return null;
    return h("div", { class: "reactions" }, message.reactions.map((one) => {
      const names = one.users.map((id) => this.#store.user(id)?.real_name ?? id).join(", ");
      return h("button", { type: "button", class: `reaction ${one.users.includes(this.#store.me.id) ? "is-mine" : ""}`, title: `${names} reacted with :${one.name}:`, onclick: () => this.#react(channel, message, one.name) },
        emoji(one.name) ?? `:${one.name}:`, " ", h("b", {}, one.count));
    }));
  }

  #tools(channel, message, inThread) {
    return h("div", { class: "tools" },
      QUICK.map((name) => h("button", { type: "button", "aria-label": `React with ${name}`, onclick: () => this.#react(channel, message, name) }, emoji(name))),
      inThread ? null : h("button", { type: "button", "aria-label": "Reply in thread", "data-testid": "reply", onclick: () => this.#open(message) }, "💬"));
  }

  #react(channel, message, name) {
    post("react", { person: this.#store.me.name, channel: channel.id, ts: message.ts, name }).catch(said);
  }

  #threadLink(message, replies) {
    const people = [...new Set(replies.map((one) => one.user))].map((id) => this.#store.user(id)).filter(Boolean);
    const words = `${replies.length} ${replies.length === 1 ? "reply" : "replies"}`;
    return h("button", { type: "button", class: "thread-link", "data-testid": "thread-link", onclick: () => this.#open(message) },
      people.slice(0, 3).map((one) => avatar(one, "tiny")), h("b", {}, words), h("span", {}, `Last reply ${timeOf(dateOf(replies.at(-1).ts))}`));
  }

  #open(message) {
    this.#store.show({ thread: message.ts });
    document.getElementById("thread-input").focus();
  }

  #thread(channel) {
    const root = channel.messages.find((one) => one.ts === this.#store.ui.thread);
    this.#at.thread.hidden = !root;
    if (!root) return;
    const all = [root, ...this.#replies(channel, root)];
    keyed(document.getElementById("thread-messages"), all, (one) => one.ts, (one) => JSON.stringify([one, this.#store.me.id]),
      (one) => this.#message(channel, one, { inThread: true }));
  }

  /** Bring a message into view and point at it. */
  jump(ts) {
    const node = this.#at.list.querySelector(`[data-ts="${CSS.escape(ts)}"]`);
    if (!node) return;
    node.scrollIntoView({ block: "start", behavior: "smooth" });
    node.classList.remove("is-pointed");
    requestAnimationFrame(() => node.classList.add("is-pointed"));
  }
}

function keyOf(one) {
  if (one.kind === "message") return one.message.ts;
  return one.kind === "day" ? one.date.toDateString() : "intro";
}

function byline(author, date) {
  return h("div", { class: "byline" }, h("b", { class: "name" }, author.real_name), author.is_bot ? h("span", { class: "app" }, "APP") : null,
    h("time", { datetime: date.toISOString(), title: date.toLocaleString() }, timeOf(date)));
}

function bookmark(one) {
  const mark = emoji(String(one.emoji ?? "").replaceAll(":", "")) ?? "🔗";
  const isHere = String(one.link).startsWith(`${location.origin}/#`);
  return h("a", { class: "bookmark", href: one.link, ...(isHere ? {} : { target: "_blank", rel: "noopener noreferrer" }), "data-testid": "bookmark" }, `${mark} ${one.title}`);
}

function intro(store, channel) {
  const isQuiet = channel.messages.length === 0;
  return h("div", { class: "intro" },
    h("h2", {}, channel.is_im ? "Firstfive" : `${channel.is_private ? "🔒 " : "# "}${channel.name}`),
    h("p", {}, channel.is_im ? "What Firstfive tells you alone." : `This is the very beginning of #${channel.name}.`, channel.purpose ? ` ${channel.purpose}.` : ""),
    isQuiet && channel.name === "incidents" ? welcome(store) : null);
}

/** The first thing a newcomer reads. */
function welcome(store) {
  const first = store.state.samples.find((one) => one.status !== "resolved");
  const type = () => document.dispatchEvent(new CustomEvent("offer", { detail: "/incident declare sev2 checkout is slow" }));
  return h("div", { class: "welcome" },
    h("h3", {}, "The first five minutes decide an incident."),
    h("p", {}, "An alert comes in, somebody is paged, and the clock runs against five minutes. Everything here is local: the bot is real, the Slack and the PagerDuty around it are stand-ins."),
    h("div", { class: "row" },
      first ? h("button", { type: "button", class: "button hot", "data-testid": "welcome-fire", onclick: (event) => fire(store, first, event.currentTarget) }, `🔥 Fire “${first.title}”`) : null,
      h("button", { type: "button", class: "button", "data-testid": "welcome-declare", onclick: type }, "Declare one by hand")));
}

async function press(store, channel, message, action, value, node) {
  node?.classList.add("busy");
  try {
    await post("press", { person: store.me.name, channel: channel.id, ts: message.ts, action_id: action, ...(value === undefined ? {} : { value }) });
  } catch (error) {
    said(error);
  } finally {
    node?.classList.remove("busy");
    if (node?.tagName === "SELECT") node.value = "";
  }
}
