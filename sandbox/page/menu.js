// Small things that open over the page: menus, questions before something that cannot be undone, short notices.

import { h } from "./dom.js";

const NOTICE_MS = 6000;

/** A menu under a button. `items` are { label, description, act, danger }. Arrow keys move, Escape closes. */
export function openMenu(button, items) {
  closeMenus();
  const menu = h("div", { class: "menu", role: "menu", "data-testid": "menu" });
  const close = () => {
    menu.remove();
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
  };
  const outside = (event) => menu.contains(event.target) || button.contains(event.target) || close();
  menu.close = close;
  menu.append(...items.map((item) => entry(item, () => {
    close();
    button.focus();
    item.act();
  })));
  menu.addEventListener("keydown", (event) => walk(event, menu, () => {
    close();
    button.focus();
  }));
  document.body.append(menu);
  place(menu, button);
  button.setAttribute("aria-expanded", "true");
  document.addEventListener("pointerdown", outside, true);
  menu.querySelector("[role=menuitem]")?.focus();
}

function entry(item, act) {
  return h("button", { type: "button", role: "menuitem", tabindex: "-1", class: item.danger ? "danger" : "", "data-value": item.value, onclick: act },
    h("span", {}, item.label), item.description ? h("small", {}, item.description) : null);
}

function walk(event, menu, close) {
  const all = [...menu.querySelectorAll("[role=menuitem]")];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    all.at((all.indexOf(document.activeElement) + step) % all.length)?.focus();
  } else if (event.key === "Escape" || event.key === "Tab") {
    event.preventDefault();
    event.stopPropagation();
    close();
  }
}

function place(menu, button) {
  const at = button.getBoundingClientRect();
  const [width, height] = [menu.offsetWidth, menu.offsetHeight];
  const below = at.bottom + 4 + height < innerHeight;
  menu.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, below ? at.bottom + 4 : at.top - height - 4)}px`;
}

/** Close whatever menu is open. */
export function closeMenus() {
  document.querySelectorAll(".menu").forEach((menu) => menu.close?.());
}

/** Ask before something is done, in Slack's words; resolves to whether to go on. */
export function confirmed(question, text) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "confirm", "data-testid": "confirm", "aria-labelledby": "confirm-title" },
      h("h2", { id: "confirm-title" }, text(question.title) || "Are you sure?"),
      h("div", { class: "confirm-text" }, text(question.text)),
      h("div", { class: "row end" },
        h("button", { type: "button", class: "button", "data-testid": "confirm-deny", onclick: () => dialog.close("no") }, text(question.deny) || "Cancel"),
        h("button", { type: "button", class: `button ${question.style === "danger" ? "danger solid" : "primary"}`, "data-testid": "confirm-ok", onclick: () => dialog.close("yes") }, text(question.confirm) || "Yes")));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A line that says what happened, and goes by itself; the node, to take it away sooner. `act` adds a button: { label, act }. */
export function notice(text, { kind = "", act = null } = {}) {
  const region = document.getElementById("notices");
  const node = h("div", { class: `notice ${kind}`, "data-testid": "notice", role: kind === "error" ? "alert" : "status" }, h("span", {}, text));
  if (act) node.append(h("button", { type: "button", class: "link", onclick: () => { node.remove(); act.act(); } }, act.label));
  node.append(h("button", { type: "button", class: "close", "aria-label": "Dismiss", onclick: () => node.remove() }, "×"));
  region.append(node);
  while (region.children.length > 3) region.firstElementChild.remove();
  setTimeout(() => node.remove(), kind === "error" ? NOTICE_MS * 1.6 : NOTICE_MS);
  return node;
}

/** Say an error where it is seen. */
export function said(error) {
  notice(error.message, { kind: "error" });
}
