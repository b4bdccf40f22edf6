// Block Kit as nodes. Each kind of block is one function; a kind that is not known is named, not hidden.

import { h } from "./dom.js";
import { emoji, withEmoji } from "./emoji.js";
import { choice, field, isField, options, picks } from "./fields.js";
import { markdown } from "./markdown.js";
import { confirmed, openMenu } from "./menu.js";
import { anchor, channelLink, isOpenable, mention, mrkdwn } from "./mrkdwn.js";
import { slackDate } from "./time.js";

/** Blocks as nodes. `ctx` adds to what mrkdwn needs: press(action_id, value), people(), channels(). */
export function blocks(list, ctx) {
  return (list ?? []).map((one) => (BLOCKS[one.type] ?? unsupported)(one, ctx));
}

/** A text object as a node. */
export function text(object, ctx) {
  if (!object) return null;
  if (object.type === "mrkdwn") return mrkdwn(object.text, ctx);
  return document.createTextNode(object.emoji === false ? object.text : withEmoji(object.text ?? ""));
}

const BLOCKS = {
  header: (one, ctx) => h("h3", { class: "b-header" }, text(one.text, ctx)),
  section,
  divider: () => h("hr", { class: "b-divider" }),
  context: (one, ctx) => h("div", { class: "b-context" }, (one.elements ?? []).map((part) => contextPart(part, ctx))),
  actions: (one, ctx) => h("div", { class: "b-actions" }, (one.elements ?? []).map((part) => element(part, ctx))),
  context_actions: (one, ctx) => h("div", { class: "b-actions" }, (one.elements ?? []).map((part) => element(part, ctx))),
  image: (one, ctx) => h("figure", { class: "b-image" }, one.title ? h("figcaption", {}, text(one.title, ctx)) : null, picture(one)),
  rich_text: (one, ctx) => h("div", { class: "b-rich" }, (one.elements ?? []).map((part) => rich(part, ctx))),
  markdown: (one) => h("div", { class: "b-markdown prose" }, markdown(one.text)),
  table,
  input: (one, ctx) => h("div", { class: "b-input" }, h("span", { class: "label" }, text(one.label, ctx)), field(one.element, ctx).node),
};

function unsupported(one) {
  const title = one.title?.text ?? one.alt_text ?? "";
  return h("p", { class: "unsupported" }, `${one.type} block${title ? `: ${title}` : ""} (not drawn in the sandbox)`);
}

function section(one, ctx) {
  const main = h("div", { class: "b-main" },
    one.text ? h("div", { class: "b-text" }, text(one.text, ctx)) : null,
    one.fields ? h("div", { class: "b-fields" }, one.fields.map((part) => h("div", {}, text(part, ctx)))) : null);
  return h("div", { class: "b-section" }, main, one.accessory ? h("div", { class: "b-accessory" }, element(one.accessory, ctx)) : null);
}

function contextPart(part, ctx) {
  return part.type === "image" ? picture(part) : h("span", {}, text(part, ctx));
}

function picture(one) {
  const url = one.image_url ?? one.slack_file?.url ?? "";
  return isOpenable(url) ? h("img", { src: url, alt: one.alt_text ?? "", loading: "lazy" }) : h("span", { class: "unsupported" }, one.alt_text ?? "image");
}

// --- what one presses -------------------------------------------------------------------------

function element(one, ctx) {
  if (one.type === "button" || one.type === "workflow_button") return button(one, ctx);
  if (one.type === "overflow") return overflow(one, ctx);
  if (one.type === "image") return picture(one);
  if (one.type === "icon_button") return button({ ...one, text: one.text ?? { text: one.icon ?? "…" } }, ctx);
  if (one.type.endsWith("_select") && !one.type.startsWith("multi_")) return pick(one, ctx);
  if (isField(one)) return live(one, ctx);
  return unsupported(one);
}

function button(one, ctx) {
  const style = { primary: "primary", danger: "danger" }[one.style] ?? "";
  const props = { class: `button ${style}`, "data-testid": "button", "data-action-id": one.action_id, "data-value": one.value, "aria-label": one.accessibility_label };
  const press = (node) => ctx.press(one.action_id, one.value, node);
  if (one.url && isOpenable(one.url)) {
    return h("a", { ...props, href: one.url, target: "_blank", rel: "noopener noreferrer", onclick: (event) => press(event.currentTarget) }, text(one.text, ctx));
  }
  const act = async (event) => {
    const node = event.currentTarget;
    if (await agreed(one, ctx)) press(node);
  };
  return h("button", { ...props, type: "button", onclick: act }, text(one.text, ctx));
}

function agreed(one, ctx) {
  return one.confirm ? confirmed(one.confirm, (object) => text(object, ctx)) : true;
}

function overflow(one, ctx) {
  const items = (node) => options(one).map((choice) => ({
    label: withEmoji(choice.label), description: choice.description, value: choice.value,
    act: async () => (await agreed(one, ctx)) && ctx.press(one.action_id, choice.value, node),
  }));
  return h("button", {
    type: "button", class: "button overflow", "aria-label": "More", "aria-haspopup": "menu", "aria-expanded": "false",
    "data-testid": "overflow", "data-action-id": one.action_id, onclick: (event) => openMenu(event.currentTarget, items(event.currentTarget)),
  }, "⋯");
}

function pick(one, ctx) {
  const initial = one.initial_option?.value ?? one.initial_user ?? one.initial_channel ?? one.initial_conversation ?? "";
  const act = async (event) => {
    const node = event.currentTarget;
    const chosen = node.value;
    if (chosen && (await agreed(one, ctx))) ctx.press(one.action_id, chosen, node);
    else node.value = initial;
  };
  const node = h("select", { class: "button select", "aria-label": one.placeholder?.text ?? "Choose", "data-testid": "select", "data-action-id": one.action_id, onchange: act },
    h("option", { value: "" }, one.placeholder?.text ?? "Choose"), picks(one, ctx).map(choice));
  node.value = initial;
  return node;
}

/** Checkboxes, dates and the like on a message: each change is a press. */
function live(one, ctx) {
  const made = field(one, ctx);
  made.node.addEventListener("change", () => ctx.press(one.action_id, made.read(), made.node));
  return made.node;
}

// --- rich text --------------------------------------------------------------------------------

function rich(part, ctx) {
  const inside = () => (part.elements ?? []).map((one) => richElement(one, ctx));
  if (part.type === "rich_text_list") {
    return h(part.style === "ordered" ? "ol" : "ul", { class: `indent-${part.indent ?? 0}`, start: part.offset ? part.offset + 1 : null },
      (part.elements ?? []).map((one) => h("li", {}, (one.elements ?? []).map((leaf) => richElement(leaf, ctx)))));
  }
  if (part.type === "rich_text_preformatted") return h("pre", { class: "fence" }, inside());
  if (part.type === "rich_text_quote") return h("blockquote", {}, inside());
  return h("p", {}, inside());
}

const RICH = {
  text: (one) => document.createTextNode(one.text ?? ""),
  link: (one) => anchor(one.url ?? "", one.text ?? one.url ?? ""),
  emoji: (one) => h("span", { class: "emoji" }, emoji(one.name ?? "") ?? `:${one.name}:`),
  user: (one, ctx) => mention(one.user_id, "", ctx),
  channel: (one, ctx) => channelLink(one.channel_id, "", ctx),
  usergroup: () => h("span", { class: "mention" }, "@team"),
  broadcast: (one) => h("span", { class: "mention is-loud" }, `@${one.range}`),
  date: (one) => h("time", {}, slackDate(one.timestamp, one.format ?? "") ?? one.fallback ?? ""),
  color: (one) => h("code", {}, one.value ?? ""),
};

function richElement(one, ctx) {
  let node = (RICH[one.type] ?? ((other) => document.createTextNode(other.text ?? `[${other.type}]`)))(one, ctx);
  const style = one.style ?? {};
  for (const [name, tag] of [["code", "code"], ["bold", "strong"], ["italic", "em"], ["strike", "s"]]) if (style[name]) node = h(tag, {}, node);
  return node;
}

// --- tables -----------------------------------------------------------------------------------

function table(one, ctx) {
  const settings = one.column_settings ?? [];
  const cell = (tag) => (part, column) => h(tag, {
    class: `${settings[column]?.is_wrapped ? "wrapped" : ""} ${{ right: "right", center: "center" }[settings[column]?.align] ?? ""}`,
    scope: tag === "th" ? "col" : null,
  }, cellOf(part, ctx));
  const [heads = [], ...rows] = one.rows ?? [];
  return h("div", { class: "b-table table-wrap", tabindex: "0", role: "region", "aria-label": "Table" }, h("table", {},
    h("thead", {}, h("tr", {}, heads.map(cell("th")))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell("td")))))));
}

function cellOf(part, ctx) {
  if (part.type === "rich_text") return (part.elements ?? []).map((one) => rich(one, ctx));
  return withEmoji(String(part.text ?? part.value ?? ""));
}
