// What the charts of the trends draw, from the answer of /api/series. Pure.

/** The figure that is a group's wait: LiveKit's, or where there is none, the time between events; null if neither was measured. */
export function waitOf({ latency }) {
  return ["e2e_latency", "response_time"].find((name) => latency[name]?.count > 0) ?? null;
}

/** The latency that `figure` names in a total or a point: "" is the wait, which `wait` names. */
export const latencyOf = ({ latency }, figure, wait) => latency[figure || wait] ?? null;

const MOST = 5000; // buckets, beyond which an answer is not drawn bucket by bucket

/**
 * One time axis for all groups: `{starts, at(point)}`, the beginnings of the buckets in epoch seconds and the index of a point's.
 * Buckets without events are part of it. The hub chooses where buckets begin, so the first point says how they are aligned.
 */
export function timeAxis({ since, until, step, groups }) {
  const known = groups.flatMap(({ points }) => points.map(({ at }) => at));
  const anchor = known[0] ?? since;
  const first = Math.min(anchor + Math.floor((since - anchor) / step) * step, ...known);
  const last = Math.max(until, ...known.map((at) => at + step / 2));
  const count = Math.min(MOST, Math.max(1, Math.ceil((last - first) / step)));
  return { starts: Array.from({ length: count }, (_, index) => first + index * step), at: (point) => Math.round((point.at - first) / step) };
}

/** A column of values on the axis: `pick(point)` for each point, `none` for buckets without one. */
export function column(axis, points, pick, none = null) {
  const values = new Array(axis.starts.length).fill(none);
  for (const point of points) {
    const index = axis.at(point);
    if (index >= 0 && index < values.length) values[index] = pick(point) ?? none;
  }
  return values;
}

/** Columns as they lie on one another: each is the sum of itself and those before it. */
export function stacked(columns) {
  const sum = new Array(columns[0]?.length ?? 0).fill(0);
  return columns.map((values) => values.map((value, index) => (sum[index] += value ?? 0)));
}

/** The amount of money in a `cost` of the API; null if there is none. */
export const amountOf = ({ cost }) => (typeof cost === "number" ? cost : (cost?.amount ?? null));

/** The currency of the first group that has one, "" if none has. */
export const currencyOf = (groups) => groups.map(({ total }) => total.cost?.currency).find(Boolean) ?? "";

/** Indices of values that a line does not show, because both of their neighbours are missing. */
export function lonely(values) {
  const missing = (index) => values[index] === null || values[index] === undefined;
  return values.map((_, index) => index).filter((index) => !missing(index) && missing(index - 1) && missing(index + 1));
}

const SHOWN = 5; // groups that are drawn at first: more lines hide one another

/** Which groups are drawn. `field`: the address's, "" for the first few. */
export function shownOf(groups, field = "") {
  if (!field) return new Set(groups.slice(0, SHOWN).map(({ name }) => name));
  const known = new Set(groups.map(({ name }) => name));
  return new Set(field.split(",").map((part) => (part === "~" ? null : decoded(part))).filter((name) => known.has(name)));
}

/** The address's field for the groups that are drawn; "" for those that are drawn at first. */
export function shownField(groups, shown) {
  const usual = groups.slice(0, SHOWN);
  if (shown.size === usual.length && usual.every(({ name }) => shown.has(name))) return "";
  if (!shown.size) return "-";
  return [...shown].map((name) => (name === null ? "~" : encodeURIComponent(name).replaceAll("~", "%7E"))).join(",");
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The names of the two newest versions, by when they were first seen: the older first. Empty if there are fewer. */
export function newestVersions(groups) {
  const named = groups.filter(({ name, points }) => name !== null && points.length).map(({ name, points }) => [name, Math.min(...points.map(({ at }) => at))]);
  const newest = named.sort((a, b) => a[1] - b[1]).slice(-2).map(([name]) => name);
  return newest.length === 2 ? newest : [];
}
