// Files in a channel: a card with a preview, and a reader for Markdown.

import { h } from "./dom.js";
import { markdown } from "./markdown.js";
import { isOpenable } from "./mrkdwn.js";

const PREVIEW_CHARACTERS = 2500;

/** A file as a card. `wasRead` is called once somebody opens it. */
export function fileCard(file, wasRead) {
  const isMarkdown = /\.(md|markdown)$/i.test(file.name ?? "") || file.mimetype === "text/markdown";
  const preview = file.preview ? shown(file.preview.slice(0, PREVIEW_CHARACTERS), isMarkdown) : null;
  const open = () => {
    wasRead();
    reader(file, isMarkdown);
  };
  return h("div", { class: "file", "data-testid": "file", "data-name": file.name },
    h("div", { class: "file-head" },
      h("span", { class: "file-icon", "aria-hidden": "true" }, isMarkdown ? "M↓" : "▤"),
      h("div", { class: "file-name" }, h("b", {}, file.title || file.name), h("small", {}, `${isMarkdown ? "Markdown" : file.mimetype ?? "File"} · ${sizeOf(file.size)}`)),
      file.preview ? h("button", { type: "button", class: "button", "data-testid": "file-read", onclick: open }, "Read") : null,
      isOpenable(file.url ?? "") ? h("a", { class: "button", href: file.url, target: "_blank", rel: "noopener noreferrer" }, "Raw") : null),
    preview ? h("div", { class: "file-preview", "aria-hidden": "true", inert: true }, preview) : null);
}

function shown(text, isMarkdown) {
  return isMarkdown ? h("div", { class: "prose" }, markdown(text)) : h("pre", { class: "fence" }, text);
}

function reader(file, isMarkdown) {
  const dialog = h("dialog", { class: "reader", "data-testid": "reader", "aria-label": file.title || file.name },
    h("header", {}, h("b", {}, file.title || file.name), h("button", { type: "button", class: "close", "aria-label": "Close", "data-testid": "reader-close", onclick: () => dialog.close() }, "×")),
    h("div", { class: "reader-body", tabindex: "0" }, shown(file.preview, isMarkdown)));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector(".reader-body").scrollTop = 0;
}

function sizeOf(bytes) {
  if (!(bytes > 0)) return "size unknown";
  return bytes < 1024 ? `${bytes} bytes` : `${(bytes / 1024).toFixed(1)} kB`;
}
