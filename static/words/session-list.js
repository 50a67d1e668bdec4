// The list of sessions in words and shapes. Pure.

import { ago } from "./errors.js";
import { duration, number, plural } from "./format.js";
import { money, slowness } from "./trends.js";

const DAY = 86_400; // s
const SILENT = 300; // s without an event after which a live session is silent

/** Whether a live session, whose newest event came at a time, is silent. */
export const isSilent = (updated, now) => updated !== null && now - updated > SILENT;

/** What a session is doing: `[words, class]`. `now`: epoch seconds. */
export function doing({ status, reason, state, updated }, now) {
  if (status === "ended") return ["ended", "ended", reason ?? ""];
  if (isSilent(updated, now)) return [`silent for ${duration(now - updated)}`, "silent", "The session has not ended, but nothing was reported of it since"];
  if (state.agent_speaking) return ["agent speaking", "agent", ""];
  if (state.user_speaking) return ["user speaking", "user", ""];
  return [state.agent ?? "live", "live", ""];
}

/** How long ago something was; "" from a day on, when the date alone says it. */
export const recently = (at, now) => (now - at < DAY ? ago(at, now) : "");

/** `0:24`, `1:02:13`. */
export function minutes(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.floor(seconds);
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** The wait of a session's turns: `{median, p95, count}`; null if none was measured. */
export const waitOf = ({ latency }) => latency.e2e_latency ?? latency.response_time ?? null;

/** What went wrong, as `[words, class]`; empty if nothing did. */
export function problems({ counts }) {
  const some = (n, kind, words) => (n > 0 ? [[words, kind]] : []);
  return [
    ...some(counts.errors, "error", plural(counts.errors, "error")),
    ...some(counts.tool_errors, "error", plural(counts.tool_errors, "failed tool")),
    ...some(counts.interruptions, "cut", plural(counts.interruptions, "interruption")),
    ...some(counts.events_dropped, "error", plural(counts.events_dropped, "lost event")),
  ];
}

/** Its cost, or else its tokens. */
export function spent({ cost, usage }) {
  if (cost?.amount > 0) return money(cost.amount, cost.currency);
  const tokens = usage.reduce((sum, model) => sum + (model?.input_tokens ?? 0) + (model?.output_tokens ?? 0), 0);
  return tokens ? `${number(tokens)} tok` : "";
}

/** A line through the waits, as the bars of a chart of `width` by `height`: `{x, y, width, height, tone}`. */
export function bars(waits, slow, width, height) {
  const most = Math.max(slow[1], ...waits);
  const step = Math.min(5, width / Math.max(1, waits.length));
  return waits.map((wait, index) => {
    const tall = Math.max(1, (wait / most) * height);
    return { x: index * step, y: height - tall, width: Math.max(1, step - 1), height: tall, tone: slowness(wait, slow) };
  });
}

/** Text in which matches stand between U+E000 and U+E001, as `[text, isMatch]`. */
export function marked(text) {
  return text.split("\ue000").flatMap((part, index) => {
    if (!index) return [[part, false]];
    const [match, rest = ""] = part.split("\ue001");
    return [[match, true], [rest, false]];
  }).filter(([part]) => part);
}
