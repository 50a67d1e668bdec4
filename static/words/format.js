// Values as text for readers. Pure.

/** A timestamp (epoch seconds) as local wall-clock time, `14:03:59`, or with milliseconds. */
export function clock(seconds, milliseconds = false) {
  if (!Number.isFinite(seconds)) return "";
  const at = new Date(seconds * 1000);
  if (Number.isNaN(at.getTime())) return String(seconds);
  const two = (n) => String(n).padStart(2, "0");
  const text = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return milliseconds ? `${text}.${String(at.getMilliseconds()).padStart(3, "0")}` : text;
}

/** The day of a timestamp, `2026-11-21`, in local time; "" if it has none. */
export function day(seconds) {
  const at = new Date(seconds * 1000);
  if (!Number.isFinite(seconds) || Number.isNaN(at.getTime())) return "";
  return `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, "0")}-${String(at.getDate()).padStart(2, "0")}`;
}

/** A timestamp in full, for a tooltip. */
export function fullTime(seconds) {
  const at = new Date(seconds * 1000);
  return Number.isFinite(seconds) && !Number.isNaN(at.getTime()) ? `${at.toLocaleString()} (${seconds})` : String(seconds);
}

/** A duration in seconds, readable: `820 ms`, `2.4 s`, `3 min`, `2 h`, `7 days`. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds > 0 && seconds < 0.0005) return "< 1 ms";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${Number(seconds.toFixed(1))} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Number((seconds / 3600).toFixed(1))} h`;
  return `${Number((seconds / 86_400).toFixed(1))} days`;
}

/** Whether text from an event is an address that the page may link to: http or https, and without a name that could pass for its host. */
export function isWebAddress(value) {
  if (typeof value !== "string" || !URL.canParse(value)) return false;
  const { protocol, username, password } = new URL(value);
  return /^https?:$/.test(protocol) && !username && !password;
}

export const number = (n) => n.toLocaleString("en-US");

export const plural = (n, singular, many = `${singular}s`) => `${number(n)} ${n === 1 ? singular : many}`;

/** At most `size` characters of a text, on one line; `…` marks the cut. */
export function oneLine(text, size = 300) {
  const short = text.length > size ? `${text.slice(0, size)}…` : text;
  return short.replace(/[\r\n\t\u2028\u2029]+/g, " ⏎ ");
}

/**
 * A reviver for JSON.parse that keeps numbers as written if JavaScript would round or rewrite them. (Browsers without
 * JSON source text access round them.)
 */
export function exact(key, value, context) {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined || !JSON.rawJSON || String(value) === source) return value;
  return JSON.rawJSON(source);
}

/** The JSON text `data`, indented, numbers as written. */
export function pretty(data) {
  try {
    return JSON.stringify(JSON.parse(data, exact), null, 2);
  } catch {
    return data;
  }
}

/** The JSON text `data` without these top-level fields, numbers as written. */
export function without(data, ...names) {
  const event = JSON.parse(data, exact);
  for (const name of names) delete event[name];
  return JSON.stringify(event);
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * A command that posts the event `data` again, as a new event: without its `timestamp`, and without its `event_id`, which
 * would make it a duplicate. `guarded`: the hub requires a credential, which the command takes from HUB_KEY.
 */
export function curl(hub, data, guarded = false) {
  const key = guarded ? ` -H "Authorization: Bearer $HUB_KEY"` : "";
  return `curl ${quoted(`${hub}/api/agent/data`)}${key} -H 'Content-Type: application/json' -d ${quoted(without(data, "event_id", "timestamp"))}`;
}
