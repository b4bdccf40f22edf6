// The workspace's side: channels as they appear, with what is unread, and the people.

import { avatar, h, keyed } from "./dom.js";

const SEEDED = ["incidents", "firstfive-ops", "general", "team-checkout"];

export class Sidebar {
  #store;

  constructor(store) {
    this.#store = store;
    store.on(["channels", "channel", "person", "cast", "read", "phones"], () => this.draw());
  }

  draw() {
    const all = this.#store.channels;
    const incidents = all.filter((one) => !one.is_im && !SEEDED.includes(one.name)).reverse();
    this.#group("incident-channels", incidents);
    document.getElementById("incident-channels-group").hidden = !incidents.length;
    this.#group("channels", all.filter((one) => SEEDED.includes(one.name)));
    const direct = all.filter((one) => one.is_im && one.members.includes(this.#store.me.id));
    this.#group("direct", direct);
    document.getElementById("direct-group").hidden = !direct.length;
    this.#people();
  }

  #group(id, channels) {
    keyed(document.getElementById(id), channels, (one) => one.id, (one) => this.#mark(one), (one) => this.#entry(one));
  }

  #mark(channel) {
    return [channel.name, channel.is_archived, this.#store.unread(channel), channel.id === this.#store.ui.channel].join();
  }

  #entry(channel) {
    const { ui } = this.#store;
    const unread = this.#store.unread(channel);
    const isOpen = channel.id === ui.channel;
    const isNew = unread > 0 && !ui.opened.has(channel.id) && !SEEDED.includes(channel.name);
    const label = channel.is_im ? "Firstfive" : channel.name;
    const kind = `channel ${unread ? "unread" : ""} ${isNew ? "is-new" : ""} ${channel.is_archived ? "archived" : ""}`;
    return h("li", {}, h("button", {
      type: "button", class: kind, "data-testid": `channel-${channel.name}`, "aria-current": isOpen ? "page" : null, title: label,
      onclick: () => this.#store.show({ channel: channel.id, thread: null, drawer: false }),
    }, h("span", { class: "mark", "aria-hidden": "true" }, channel.is_im ? "●" : channel.is_private ? "🔒" : "#"), h("span", { class: "label" }, label),
    unread && !isOpen ? h("span", { class: "badge", "aria-label": `${unread} unread` }, unread > 99 ? "99+" : unread) : null));
  }

  #people() {
    keyed(document.getElementById("people"), this.#store.state.cast, (one) => one.id, () => "", (one) =>
      h("li", { class: "somebody", title: one.title }, avatar(one, "tiny"), h("span", { class: "label" }, one.real_name), h("small", {}, one.role)));
  }
}
