// Slack's mrkdwn as nodes: bold, italic, strike, code, quotes, links, mentions, dates, emoji. Nothing in it is markup.

import { h } from "./dom.js";
import { emoji } from "./emoji.js";
import { slackDate } from "./time.js";

const STYLES = { "*": "strong", _: "em", "~": "s" };
const WORD = /[\p{L}\p{N}]/u;

/** A text of Slack's as a fragment. `ctx` knows people and channels: { user(id), channel(id), openChannel(id), me }. */
export function mrkdwn(text, ctx) {
  const out = document.createDocumentFragment();
  String(text ?? "").split(/```\n?([\s\S]+?)```/).forEach((piece, index) => {
    if (index % 2) out.append(h("pre", { class: "fence" }, unescape(piece.replace(/\n$/, ""))));
    else out.append(lines(index ? piece.replace(/^\n/, "") : piece, ctx));
  });
  return out;
}

function lines(text, ctx) {
  const out = document.createDocumentFragment();
  let quote = null;
  const all = text.split("\n");
  all.forEach((line, index) => {
    const quoted = line.match(/^(?:>|&gt;)(?!>) ?(.*)$/);
    const isLast = index === all.length - 1;
    if (quoted) {
      if (!quote) out.append((quote = h("blockquote", {})));
      else quote.append(h("br"));
      quote.append(inline(quoted[1], ctx));
      return;
    }
    quote = null;
    out.append(oneLine(line, ctx));
    if (!isLast && !/^(?:>|&gt;)/.test(all[index + 1])) out.append(h("br"));
  });
  return out;
}

/** Lines that look like items hang under their bullet, as Slack's clients show what people type. */
function oneLine(line, ctx) {
  const item = line.match(/^(\s*)([•◦▪‣]|\d{1,2}\.)\s+(.*)$/);
  if (!item) return inline(line, ctx);
  return h("span", { class: "item" }, h("span", { class: "bullet" }, item[2]), h("span", {}, inline(item[3], ctx)));
}

/** One line's worth of mrkdwn. */
export function inline(text, ctx) {
  const out = document.createDocumentFragment();
  let plain = "";
  const flush = () => {
    if (plain) out.append(unescape(plain));
    plain = "";
  };
  let at = 0;
  while (at < text.length) {
    const found = token(text, at, ctx);
    if (found) {
      flush();
      out.append(found.node);
      at += found.length;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  flush();
  return out;
}

function token(text, at, ctx) {
  const char = text[at];
  if (char === "`") return code(text, at);
  if (char === "<") return angle(text, at, ctx);
  if (char === ":") return named(text, at);
  if (char === "h") return address(text, at);
  return STYLES[char] ? styled(text, at, ctx) : null;
}

function code(text, at) {
  const end = text.indexOf("`", at + 1);
  if (end < at + 2) return null;
  return { node: h("code", {}, unescape(text.slice(at + 1, end))), length: end + 1 - at };
}

function named(text, at) {
  const found = /^:([a-z0-9_+'-]+):(?::skin-tone-\d:)?/i.exec(text.slice(at, at + 60));
  const char = found && emoji(found[1]);
  return char ? { node: h("span", { class: "emoji", role: "img", "aria-label": found[1] }, char), length: found[0].length } : null;
}

function address(text, at) {
  if (at > 0 && WORD.test(text[at - 1])) return null;
  const found = /^https?:\/\/[^\s<>|"`]+/.exec(text.slice(at));
  if (!found) return null;
  const url = found[0].replace(/[.,;:!?)\]*_~]+$/, "");
  return { node: anchor(unescape(url), unescape(url)), length: url.length };
}

function styled(text, at, ctx) {
  const mark = text[at];
  if ((at > 0 && WORD.test(text[at - 1])) || !text[at + 1] || /[\s*_~]/.test(text[at + 1]) && text[at + 1] === mark) return null;
  if (/\s/.test(text[at + 1])) return null;
  const end = closing(text, at, mark);
  if (end < 0) return null;
  return { node: h(STYLES[mark], {}, inline(text.slice(at + 1, end), ctx)), length: end + 1 - at };
}

function closing(text, at, mark) {
  for (let index = at + 1; index < text.length; index += 1) {
    const char = text[index];
    if (char === "<" || char === "`") {
      const over = text.indexOf(char === "<" ? ">" : "`", index + 1);
      if (over > 0) index = over;
    } else if (char === mark && index > at + 1 && !/\s/.test(text[index - 1]) && !(text[index + 1] && WORD.test(text[index + 1]))) {
      return index;
    }
  }
  return -1;
}

// --- what stands in angle brackets ------------------------------------------------------------

function angle(text, at, ctx) {
  const end = text.indexOf(">", at);
  if (end < 0) return null;
  const inner = text.slice(at + 1, end);
  const node = bracketed(inner, ctx);
  return node ? { node, length: end + 1 - at } : null;
}

function bracketed(inner, ctx) {
  const bar = inner.indexOf("|");
  const [target, label] = bar < 0 ? [inner, ""] : [inner.slice(0, bar), inner.slice(bar + 1)];
  if (target.startsWith("@")) return mention(target.slice(1), label, ctx);
  if (target.startsWith("#")) return channelLink(target.slice(1), label, ctx);
  if (target.startsWith("!")) return special(target.slice(1), label);
  return isOpenable(unescape(target)) ? anchor(unescape(target), unescape(label || target)) : null;
}

/** Somebody's name, marked where it is the reader. */
export function mention(id, label, ctx) {
  const person = ctx.user(id);
  const isMe = ctx.me === id;
  return h("span", { class: `mention ${isMe ? "is-me" : ""}` }, `@${person?.real_name || unescape(label) || id}`);
}

/** A channel's name; opens it. */
export function channelLink(id, label, ctx) {
  const channel = ctx.channel(id);
  const name = channel?.name || unescape(label);
  if (!name) return h("span", { class: "mention" }, "🔒 private channel");
  if (!channel) return h("span", { class: "mention" }, `#${name}`);
  return h("button", { class: "mention link", type: "button", onclick: () => ctx.openChannel(id) }, `#${name}`);
}

function special(what, label) {
  const parts = what.split("^");
  if (parts[0] === "date") return dated(parts, unescape(label));
  if (parts[0] === "subteam") return h("span", { class: "mention" }, unescape(label) || "@team");
  if (["here", "channel", "everyone"].includes(parts[0])) return h("span", { class: "mention is-loud" }, `@${parts[0]}`);
  return h("span", { class: "mention" }, unescape(label) || `<${what}>`);
}

function dated([, seconds, form, url], fallback) {
  const shown = slackDate(seconds, form ?? "") ?? fallback;
  const node = h("time", { datetime: iso(seconds), title: fallback }, shown || fallback);
  return url && isOpenable(url) ? anchor(url, shown) : node;
}

function iso(seconds) {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

// --- links and text ---------------------------------------------------------------------------

/** Only what a browser may safely follow. */
export function isOpenable(url) {
  return /^(https?:\/\/|mailto:|tel:)/i.test(url);
}

/** A link; what points back into this page stays in it. */
export function anchor(url, label) {
  if (!isOpenable(url)) return document.createTextNode(label);
  const isHere = url.startsWith(`${location.origin}/#`);
  return h("a", isHere ? { href: url } : { href: url, target: "_blank", rel: "noopener noreferrer" }, label || url);
}

/** Slack's three entities. */
export function unescape(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}
