// The page's words about figures over time. Pure.

import { duration, number } from "./format.js";

/** `[figure, label]` of the stages of a wait, in the order in which they happen. */
export const STAGES = [
  ["end_of_turn_delay", "End of turn"],
  ["transcription_delay", "Transcription"],
  ["llm_node_ttft", "LLM"],
  ["tools", "Tools"],
  ["tts_node_ttfb", "TTS"],
];

/** What the latency chart can show: the wait, a stage, or all stages. */
export const CHOICES = [["", "Wait"], ...STAGES, ["all", "All stages"]];

/** What the groups are: value of `by` → label, and the label of a group without a name. */
export const GROUPINGS = [
  ["agent", "Agent", "agent without a name"],
  ["version", "Version", "no version"],
  ["room", "Room", "no room"],
];

/** The name of a group in words. */
export const nameOf = (name, by) => name ?? GROUPINGS.find(([value]) => value === by)[2];

/** A number for an axis or a dense table: `950`, `12.4k`, `3.1M`. */
export function short(n) {
  if (!Number.isFinite(n)) return "";
  if (Math.abs(n) < 10_000) return number(Number(n.toFixed(n % 1 && Math.abs(n) < 10 ? 2 : 0)));
  const [size, unit] = Math.abs(n) < 1e6 ? [1e3, "k"] : Math.abs(n) < 1e9 ? [1e6, "M"] : [1e9, "G"];
  return `${Number((n / size).toFixed(Math.abs(n) < 100 * size ? 1 : 0))}${unit}`;
}

/** Money: `0.0042 EUR`, `12.40 EUR`. */
export function money(amount, currency = "") {
  if (!Number.isFinite(amount)) return "";
  const digits = amount === 0 || Math.abs(amount) >= 1 ? 2 : Math.min(6, 1 - Math.floor(Math.log10(Math.abs(amount))));
  return `${amount.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${currency}`.trim();
}

/** A latency for a table: always in seconds, two decimals, so that columns compare at a glance; "" if unknown. */
export const seconds = (value) => (Number.isFinite(value) ? `${value < 10 ? value.toFixed(2) : value.toFixed(1)} s` : "");

/** The thresholds of a wait in seconds, amber and red, of a hub that does not name its own. */
export const SLOW = [1.5, 3];

/** How slow a wait is: "", `amber` or `red`, by the hub's two thresholds in seconds. */
export function slowness(value, [amber, red] = SLOW) {
  if (!Number.isFinite(value) || value < amber) return "";
  return value < red ? "amber" : "red";
}

/** One latency of a group in a sentence: `median 1.02 s, p95 2.3 s, 34 turns`. */
export const distribution = ({ median, p95, count }) => `median ${duration(median)}, p95 ${duration(p95)}, ${number(count)} measured`;
