// What the page knows: the server's state as it was last told, and what this reader has open, read and put away.

import { clock } from "./time.js";

const HIDDEN = "firstfive-guide-hidden";

/** The state and who listens to it. `on(parts, listener)` is called after any of those parts changed. */
export class Store {
  state = { cast: [], channels: [], views: [], phones: [], faults: {}, pagerduty: { incidents: [] }, samples: [], bot_user: "", seq: 0 };
  ui = { person: "ana", channel: null, thread: null, tab: "workspace", link: "connecting", explained: null, dismissed: new Set(), read: new Map(), opened: new Set(), did: new Set() };
  #listeners = [];

  on(parts, listener) {
    this.#listeners.push([new Set(parts), listener]);
  }

  /** Take parts of the server's state, whole. */
  take(content) {
    const parts = Object.keys(content);
    if (content.now) clock.set(content);
    this.#noticeChannels(content.channels);
    Object.assign(this.state, content);
    this.changed(parts);
  }

  /** Change what this reader has open. */
  show(change) {
    Object.assign(this.ui, change);
    this.changed(Object.keys(change));
  }

  changed(parts) {
    for (const [wanted, listener] of this.#listeners) if (parts.some((part) => wanted.has(part))) listener();
  }

  /** What was there when the page was opened counts as read; what appears later is new. */
  #noticeChannels(channels) {
    if (!channels) return;
    const isFirst = !this.ui.read.size;
    for (const channel of channels) {
      if (this.ui.read.has(channel.id)) continue;
      this.ui.read.set(channel.id, isFirst ? lastTs(channel) : "0");
      if (!isFirst) this.ui.fresh = { id: channel.id, name: channel.name, is_im: channel.is_im };
    }
  }

  // --- looking ----------------------------------------------------------------------------------

  get me() {
    return this.state.cast.find((one) => one.name === this.ui.person) ?? { id: "", name: this.ui.person, real_name: this.ui.person };
  }

  get channel() {
    return this.state.channels.find((one) => one.id === this.ui.channel) ?? null;
  }

  user(id) {
    if (id === this.state.bot_user) return { id, name: "firstfive", real_name: "Firstfive", is_bot: true };
    return this.state.cast.find((one) => one.id === id || one.name === id) ?? null;
  }

  channelOf(id) {
    return this.state.channels.find((one) => one.id === id || one.name === id) ?? null;
  }

  /** A guest sees only where they were invited; the others every public channel. */
  mayRead(channel) {
    if (channel.members.includes(this.me.id)) return true;
    return !channel.is_private && this.me.role !== "guest";
  }

  get channels() {
    return this.state.channels.filter((one) => this.mayRead(one));
  }

  /** The messages of a channel that the chosen person sees. */
  messages(channel) {
    return channel.messages.filter((one) => this.sees(one));
  }

  sees(message) {
    return (!message.ephemeral_for || message.ephemeral_for === this.me.id) && !this.ui.dismissed.has(message.ts);
  }

  unread(channel) {
    const since = Number(this.ui.read.get(channel.id) ?? 0);
    return this.messages(channel).filter((one) => Number(one.ts) > since && one.user !== this.me.id).length;
  }

  markRead(channel) {
    const last = lastTs(channel);
    if (this.ui.read.get(channel.id) === last) return;
    this.ui.read.set(channel.id, last);
    this.changed(["read"]);
  }
}

function lastTs(channel) {
  return channel.messages.at(-1)?.ts ?? "1";
}

/** Something the reader did that the guide ticks off. */
export function did(store, what) {
  if (store.ui.did.has(what)) return;
  store.ui.did.add(what);
  store.changed(["did"]);
}

export const guide = {
  isHidden: () => localStorage.getItem(HIDDEN) === "yes",
  hide: (hidden) => localStorage.setItem(HIDDEN, hidden ? "yes" : "no"),
};
