// The elements one fills in: text, numbers, dates, choices. Each field can say what it holds now.

import { h } from "./dom.js";

let count = 0;

/** An element of Block Kit as { node, read(), focus }: `read` gives the value in the words of the person calls. */
export function field(element, ctx) {
  const make = FIELDS[element.type];
  return make ? make(element, ctx) : unknown(element);
}

const FIELDS = {
  plain_text_input: (element) => text(element, element.multiline ? "textarea" : "input", "text"),
  email_text_input: (element) => text(element, "input", "email"),
  url_text_input: (element) => text(element, "input", "url"),
  number_input: (element) => text(element, "input", "number"),
  rich_text_input: (element) => text(element, "textarea", "text"),
  datepicker: (element) => picker(element, "date", element.initial_date),
  timepicker: (element) => picker(element, "time", element.initial_time),
  datetimepicker: moment,
  static_select: (element) => select(element, grouped(element), element.initial_option?.value),
  external_select: (element) => select(element, grouped(element), element.initial_option?.value),
  multi_static_select: (element) => several(element, options(element), (element.initial_options ?? []).map((one) => one.value)),
  users_select: (element, ctx) => select(element, people(ctx), element.initial_user),
  multi_users_select: (element, ctx) => several(element, people(ctx), element.initial_users ?? []),
  channels_select: (element, ctx) => select(element, channels(ctx), element.initial_channel),
  conversations_select: (element, ctx) => select(element, channels(ctx), element.initial_conversation),
  multi_channels_select: (element, ctx) => several(element, channels(ctx), element.initial_channels ?? []),
  multi_conversations_select: (element, ctx) => several(element, channels(ctx), element.initial_conversations ?? []),
  checkboxes: (element) => several(element, options(element), (element.initial_options ?? []).map((one) => one.value)),
  radio_buttons: radios,
};

/** Whether an element is one that is filled in. */
export function isField(element) {
  return Boolean(element && FIELDS[element.type]);
}

function text(element, tag, type) {
  const node = h(tag, {
    class: "field", id: nextId(), type: tag === "input" ? type : null, rows: tag === "textarea" ? 4 : null,
    placeholder: element.placeholder?.text, minlength: element.min_length, maxlength: element.max_length,
    min: element.min_value, max: element.max_value, step: element.is_decimal_allowed ? "any" : null,
    "data-action-id": element.action_id, autocomplete: "off",
  });
  node.value = element.initial_value ?? "";
  return { node, read: () => node.value };
}

function picker(element, type, initial) {
  const node = h("input", { class: "field", id: nextId(), type, "data-action-id": element.action_id });
  node.value = initial ?? "";
  return { node, read: () => node.value };
}

function moment(element) {
  const node = h("input", { class: "field", id: nextId(), type: "datetime-local", step: "60", "data-action-id": element.action_id });
  if (element.initial_date_time) node.value = localOf(new Date(element.initial_date_time * 1000));
  return { node, read: () => (node.value ? Math.floor(new Date(node.value).getTime() / 1000) : "") };
}

function localOf(date) {
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function select(element, choices, initial) {
  const node = h("select", { class: "field", id: nextId(), "data-action-id": element.action_id },
    h("option", { value: "" }, element.placeholder?.text ?? "Choose an option"), choices.map(choice));
  node.value = initial ?? "";
  return { node, read: () => node.value };
}

function choice(one) {
  if (one.options) return h("optgroup", { label: one.label }, one.options.map(choice));
  return h("option", { value: one.value }, one.label);
}

function several(element, choices, initial) {
  const boxes = choices.map((one) => [one, h("input", { type: "checkbox", value: one.value })]);
  for (const [one, box] of boxes) box.checked = initial.includes(one.value);
  const node = h("div", { class: "choices", role: "group", id: nextId(), "data-action-id": element.action_id },
    boxes.map(([one, box]) => h("label", {}, box, h("span", {}, one.label, one.description ? h("small", {}, one.description) : null))));
  return { node, read: () => boxes.filter(([, box]) => box.checked).map(([one]) => one.value) };
}

function radios(element) {
  const name = nextId();
  const all = options(element).map((one) => [one, h("input", { type: "radio", name, value: one.value })]);
  for (const [one, box] of all) box.checked = one.value === element.initial_option?.value;
  const node = h("div", { class: "choices", role: "radiogroup", id: nextId(), "data-action-id": element.action_id },
    all.map(([one, box]) => h("label", {}, box, h("span", {}, one.label, one.description ? h("small", {}, one.description) : null))));
  return { node, read: () => all.find(([, box]) => box.checked)?.[0].value ?? "" };
}

function unknown(element) {
  return { node: h("p", { class: "unsupported" }, `${element.type} is not shown in the sandbox`), read: () => undefined };
}

/** The choices of a select, as { value, label, description }. */
export function options(element) {
  return [...(element.options ?? []), ...(element.option_groups ?? []).flatMap((group) => group.options)].map(plainOption);
}

function grouped(element) {
  if (!element.option_groups) return options(element);
  return element.option_groups.map((group) => ({ label: group.label?.text ?? "", options: group.options.map(plainOption) }));
}

function plainOption(one) {
  return { value: one.value, label: one.text?.text ?? one.value, description: one.description?.text };
}

function people(ctx) {
  return ctx.people().map((one) => ({ value: one.id, label: one.real_name }));
}

function channels(ctx) {
  return ctx.channels().map((one) => ({ value: one.id, label: `#${one.name}` }));
}

function nextId() {
  count += 1;
  return `field-${count}`;
}

/** The choices that stand on a message rather than in a form: one pick is one press. */
export function picks(element, ctx) {
  if (element.type === "users_select") return people(ctx);
  if (element.type === "channels_select" || element.type === "conversations_select") return channels(ctx);
  return grouped(element);
}

export { choice };
