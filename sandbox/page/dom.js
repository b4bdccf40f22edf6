// Building the page out of nodes. Text from outside only ever becomes a text node or an attribute, never markup.

/** An element. `on…` properties listen; `tint` becomes the custom property --tint; null and false leave things out. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(node, name, value);
  node.append(...present(children));
  return node;
}

function set(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "tint") node.style.setProperty("--tint", value);
  else if (name === "value") node.value = value;
  else node.setAttribute(name, value === true ? "" : String(value));
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Replace everything inside a node. */
export function fill(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

/**
 * Make `parent` show `items` in order, building only what is new or changed: what is in view stays where it is, and
 * the keyboard's place survives a redraw. Returns the nodes that were built.
 */
export function keyed(parent, items, key, signature, build) {
  const known = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  const built = [];
  const wanted = items.map((item) => {
    const [name, mark] = [String(key(item)), signature(item)];
    const old = known.get(name);
    if (old && old.mark === mark) return old;
    const node = build(item);
    node.dataset.key = name;
    node.mark = mark;
    built.push(node);
    if (old) keepPlace(old, node);
    return node;
  });
  const kept = new Set(wanted);
  for (const node of [...parent.children]) if (!kept.has(node)) node.remove();
  let cursor = parent.firstElementChild;
  for (const node of wanted) {
    if (node === cursor) cursor = cursor.nextElementSibling;
    else parent.insertBefore(node, cursor);
  }
  return built;
}

/** Where the focused control is drawn anew, the new one gets the focus, once it stands in the page. */
function keepPlace(old, fresh) {
  const active = document.activeElement;
  if (!active || !old.contains(active)) return;
  const { testid, actionId } = active.dataset;
  const same = [...fresh.querySelectorAll("[data-testid], [data-action-id]")].find(
    (node) => node.dataset.testid === testid && node.dataset.actionId === actionId,
  );
  if (same) queueMicrotask(() => same.focus({ preventScroll: true }));
}

/** Somebody's picture: initials on their colour; the bot has its own mark. */
export function avatar(person, size = "") {
  const kind = `avatar ${size} ${person.is_bot ? "is-bot" : ""}`;
  const initials = person.is_bot ? "5" : String(person.real_name || person.name || "?").split(/\s+/).map((word) => word[0]).slice(0, 2).join("");
  return h("span", { class: kind, tint: person.avatar_color, "aria-hidden": "true" }, initials);
}
