// Markdown as nodes, for files and markdown blocks: what the post-mortem drafts use, and no markup of its own.

import { h } from "./dom.js";
import { withEmoji } from "./emoji.js";
import { anchor, isOpenable } from "./mrkdwn.js";

const RULES = [
  [/^(`+)(.+?)\1(?!`)/, (found) => h("code", {}, found[2].trim())],
  [/^!\[([^\]]*)\]\(([^)\s]+)[^)]*\)/, (found) => picture(found[2], found[1])],
  [/^\[([^\]]+)\]\(([^)\s]+)[^)]*\)/, (found) => labelled(found[2], found[1])],
  [/^<(https?:\/\/[^\s>]+)>/, (found) => anchor(found[1], found[1])],
  [/^https?:\/\/[^\s<>)"]+[^\s<>)".,;:]/, (found) => anchor(found[0], found[0])],
  [/^\*\*(?=\S)(.+?\S?)\*\*/, (found) => h("strong", {}, words(found[1]))],
  [/^__(?=\S)(.+?)__(?!\w)/, (found) => h("strong", {}, words(found[1]))],
  [/^~~(?=\S)(.+?)~~/, (found) => h("s", {}, words(found[1]))],
  [/^\*(?=[^\s*])(.+?)\*(?!\*)/, (found) => h("em", {}, words(found[1]))],
  [/^_(?=[^\s_])(.+?)_(?!\w)/, (found) => h("em", {}, words(found[1]))],
  [/^TODO\b:?/, (found) => h("mark", {}, found[0])],
  [/^\\([\\`*_{}[\]()#+.!|<>~-])/, (found) => document.createTextNode(found[1])],
];

/** A Markdown text as a fragment. */
export function markdown(text) {
  const out = document.createDocumentFragment();
  const left = String(text ?? "").replaceAll("\r\n", "\n").split("\n");
  while (left.length) {
    const node = block(left);
    if (node) out.append(node);
  }
  return out;
}

function block(left) {
  const line = left[0];
  if (!line.trim()) return void left.shift();
  if (/^\s*(```|~~~)/.test(line)) return fence(left);
  if (/^\s*<!--/.test(line)) return comment(left);
  if (/^#{1,6}\s/.test(line)) return heading(left.shift());
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) return left.shift() && h("hr");
  if (/^\s*>/.test(line)) return quote(left);
  if (/^\s*\|/.test(line) && /^\s*\|?[\s:|-]+\|/.test(left[1] ?? "")) return table(left);
  if (itemOf(line)) return list(left);
  return paragraph(left);
}

function heading(line) {
  const [, marks, text] = line.match(/^(#{1,6})\s+(.*?)\s*#*$/) ?? [null, "#", line];
  return h(`h${Math.min(6, marks.length + 1)}`, { class: `md-${marks.length}` }, words(text));
}

function fence(left) {
  const mark = left.shift().trim().slice(0, 3);
  const body = [];
  while (left.length && !left[0].trim().startsWith(mark)) body.push(left.shift());
  left.shift();
  return h("pre", { class: "fence" }, body.join("\n"));
}

/** Comments are for programs: a reader of Markdown does not see them. */
function comment(left) {
  while (left.length && !left.shift().includes("-->"));
  return null;
}

function quote(left) {
  const body = [];
  while (left.length && /^\s*>/.test(left[0])) body.push(left.shift().replace(/^\s*> ?/, ""));
  return h("blockquote", {}, markdown(body.join("\n")));
}

function itemOf(line) {
  return line?.match(/^(\s*)([-*+]|\d{1,3}[.)])\s+(.*)$/);
}

function list(left) {
  const [, margin, mark] = itemOf(left[0]);
  const node = h(/\d/.test(mark) ? "ol" : "ul", {});
  while (left.length) {
    const found = itemOf(left[0]);
    if (!found || found[1].length < margin.length) break;
    if (found[1].length > margin.length) {
      (node.lastElementChild ?? node).append(list(left));
      continue;
    }
    left.shift();
    node.append(item(found[3]));
    while (left.length && left[0].trim() && /^\s{2,}/.test(left[0]) && !itemOf(left[0])) node.lastElementChild.append(" ", words(left.shift().trim()));
  }
  return node;
}

function item(text) {
  const box = text.match(/^\[([ xX])\]\s+(.*)$/);
  if (!box) return h("li", {}, words(text));
  return h("li", { class: "task" }, h("span", { class: "box", role: "img", "aria-label": box[1] === " " ? "open" : "done" }, box[1] === " " ? "☐" : "☑"), " ", words(box[2]));
}

function table(left) {
  const rows = [];
  while (left.length && /^\s*\|/.test(left[0])) rows.push(cells(left.shift()));
  const [heads, , ...body] = rows;
  return h("div", { class: "table-wrap" }, h("table", {},
    h("thead", {}, h("tr", {}, heads.map((cell) => h("th", { scope: "col" }, words(cell))))),
    h("tbody", {}, body.map((row) => h("tr", {}, row.map((cell) => h("td", {}, words(cell))))))));
}

function cells(line) {
  return line.trim().replace(/^\|/, "").replace(/\|$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function paragraph(left) {
  const body = [left.shift()];
  while (left.length && left[0].trim() && !/^\s*(#{1,6}\s|>|```|~~~|\||<!--)/.test(left[0]) && !itemOf(left[0])) body.push(left.shift());
  return h("p", {}, words(body.map((line) => line.trim()).join("\n")));
}

/** One paragraph's worth of Markdown. */
export function words(text) {
  const out = document.createDocumentFragment();
  let plain = "";
  let at = 0;
  const flush = () => {
    if (plain) out.append(withEmoji(plain));
    plain = "";
  };
  while (at < text.length) {
    const found = rule(text, at);
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

function rule(text, at) {
  if (!/[`![<hT*_~\\]/.test(text[at])) return null;
  if (/[_hT]/.test(text[at]) && at > 0 && /\w/.test(text[at - 1])) return null;
  const rest = text.slice(at);
  for (const [pattern, make] of RULES) {
    const found = pattern.exec(rest);
    if (found) return { node: make(found), length: found[0].length };
  }
  return null;
}

function labelled(url, label) {
  return isOpenable(url) ? anchor(url, label) : document.createTextNode(label);
}

function picture(url, label) {
  return isOpenable(url) ? h("img", { src: url, alt: label, loading: "lazy" }) : document.createTextNode(label);
}
