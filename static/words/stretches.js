// Stretches of time: the ranges that a view offers, and times in words, in local time. Pure.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY = 86_400;

/** `[value, label, words]` of the ranges; a value is what the API takes as `since`, or `all`. */
export const RANGES = [
  ["1h", "1 h", "the last hour"],
  ["24h", "24 h", "the last 24 hours"],
  ["7d", "7 d", "the last 7 days"],
  ["30d", "30 d", "the last 30 days"],
  ["all", "All", "all of the history"],
];

/** The range if the address names none. */
export const USUAL = "7d";

const two = (n) => String(n).padStart(2, "0");
const dateOf = (at) => `${at.getDate()} ${MONTHS[at.getMonth()]}`;
const clockOf = (at) => `${two(at.getHours())}:${two(at.getMinutes())}`;

/** A time in epoch seconds as `27 Nov 14:03`; "" if it has none. */
export function moment(seconds) {
  const at = new Date(seconds * 1000);
  return Number.isFinite(seconds) && !Number.isNaN(at.getTime()) ? `${dateOf(at)} ${clockOf(at)}` : "";
}

/** From `since` until `until`, epoch seconds: `27 Nov 14:00–15:00`, `27 Nov 22:00 – 28 Nov 04:00`, `27 Nov`. */
export function stretch(since, until) {
  const [from, to] = [new Date(since * 1000), new Date(until * 1000)];
  const midnights = [from, to].every((at) => at.getHours() + at.getMinutes() === 0);
  if (midnights && until - since >= 0.9 * DAY) {
    const last = new Date((until - 1) * 1000);
    return dateOf(from) === dateOf(last) ? dateOf(from) : `${dateOf(from)} – ${dateOf(last)}`;
  }
  if (dateOf(from) === dateOf(to)) return `${dateOf(from)} ${clockOf(from)}–${clockOf(to)}`;
  return `${moment(since)} – ${moment(until)}`;
}

/** The labels of a time axis at `splits` (epoch seconds), `step` apart: the time, and the day below it where it changes. */
export function ticks(splits, step) {
  return splits.map((seconds, index) => {
    const at = new Date(seconds * 1000);
    if (step >= DAY) return dateOf(at);
    const before = index && new Date(splits[index - 1] * 1000);
    return before && dateOf(before) === dateOf(at) ? clockOf(at) : `${clockOf(at)}\n${dateOf(at)}`;
  });
}

/**
 * What the address says about time: `{range, since, until}`. `range`: one of `RANGES`, or null for a stretch of its own;
 * `since` and `until`: epoch seconds, or null.
 */
export function readStretch({ since = "", until = "" }) {
  const [from, to] = [since, until].map((text) => (/^\d+(\.\d+)?$/.test(text) ? Number(text) : null));
  if (from !== null || to !== null) return { range: null, since: from, until: to };
  return { range: RANGES.some(([value]) => value === since) ? since : USUAL, since: null, until: null };
}

/** The parameters of the API for a stretch. */
export function askFor({ range, since, until }) {
  const from = range === null ? since : range === "all" ? 0 : range;
  return Object.fromEntries([["since", from], ["until", until]].filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [name, String(value)]));
}

/** A stretch in words, for headings: `the last 7 days`, `27 Nov 14:00–15:00`, `since 27 Nov 14:00`. */
export function said({ range, since, until }) {
  if (range !== null) return RANGES.find(([value]) => value === range)[2];
  if (until === null) return `since ${moment(since)}`;
  return since === null ? `until ${moment(until)}` : stretch(since, until);
}

const LENGTHS = { "1h": 3600, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY };
const STEPS = [1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, DAY, 7 * DAY];
const BUCKETS = 50; // at most: finer ones have too few turns for a percentile, and hide the course

/** The length of the buckets for so many seconds. */
export const stepFor = (length) => STEPS.find((step) => length / step <= BUCKETS) ?? Math.ceil(length / BUCKETS / DAY) * DAY;

/** The length of a stretch until `now`, in seconds; null if it is not known, because all of the history is wanted. */
export function lengthOf({ range, since, until }, now) {
  if (range !== null) return LENGTHS[range] ?? null;
  return since === null ? null : Math.max(1, (until ?? now) - since);
}
