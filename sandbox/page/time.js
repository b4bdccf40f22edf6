// Times as the reader's own clock shows them. The sandbox's clock runs here between two words from the server.

const DAY = { day: "numeric", month: "long", year: "numeric" };
const SHORT = { day: "numeric", month: "short", year: "numeric" };
const LONG = { weekday: "long", ...DAY };

/** The sandbox's clock: what the server said last, carried on by this machine's steady clock. */
export class Clock {
  #said = Date.now();
  #heardAt = performance.now();
  offsetSeconds = 0;

  set({ now, offset_seconds: offset }) {
    if (!now) return;
    this.#said = Date.parse(now);
    this.#heardAt = performance.now();
    this.offsetSeconds = offset ?? this.offsetSeconds;
  }

  now() {
    return new Date(this.#said + (performance.now() - this.#heardAt));
  }
}

export const clock = new Clock();

/** Slack's timestamp as a date. */
export function dateOf(ts) {
  return new Date(Number.parseFloat(ts) * 1000);
}

export function timeOf(date, seconds = false) {
  return date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(seconds ? { second: "2-digit" } : {}) });
}

export function dayOf(date) {
  return date.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
}

export function sameDay(one, other) {
  return one.toDateString() === other.toDateString();
}

/** "Today", "Yesterday", or the day's own name, as Slack's divider says it. */
export function dayName(date) {
  return pretty(date, dayOf(date), "Today", "Yesterday");
}

function pretty(date, otherwise, today = "today", yesterday = "yesterday") {
  const now = clock.now();
  if (sameDay(date, now)) return today;
  return sameDay(date, new Date(now.getTime() - 86_400_000)) ? yesterday : otherwise;
}

/** How far the sandbox's clock is ahead of the machine's. */
export function ahead(seconds) {
  const whole = Math.round(seconds / 60);
  if (whole < 1) return "";
  const [days, hours, minutes] = [Math.floor(whole / 1440), Math.floor((whole % 1440) / 60), whole % 60];
  const words = [days && `${days} d`, hours && `${hours} h`, minutes && `${minutes} min`].filter(Boolean);
  return `${words.join(" ")} ahead`;
}

const TOKENS = {
  date_num: (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`,
  date: (date) => date.toLocaleDateString(undefined, DAY),
  date_short: (date) => date.toLocaleDateString(undefined, SHORT),
  date_long: (date) => date.toLocaleDateString(undefined, LONG),
  date_pretty: (date) => pretty(date, date.toLocaleDateString(undefined, DAY)),
  date_short_pretty: (date) => pretty(date, date.toLocaleDateString(undefined, SHORT)),
  date_long_pretty: (date) => pretty(date, date.toLocaleDateString(undefined, LONG)),
  time: (date) => timeOf(date),
  time_secs: (date) => timeOf(date, true),
  ago: (date) => `${Math.max(0, Math.round((clock.now() - date) / 60_000))} minutes ago`,
};

/** Slack's date tokens. https://docs.slack.dev/messaging/formatting-message-text#date-formatting */
export function slackDate(seconds, form) {
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) return null;
  return form.replace(/\{(\w+)\}/g, (whole, name) => (TOKENS[name] ? TOKENS[name](date) : whole));
}

function two(number) {
  return String(number).padStart(2, "0");
}
