// The page's words about a comparison. Pure.

import { number } from "./format.js";
import { percent } from "./errors.js";
import { money, seconds } from "./trends.js";

/** `[name, label]` of the latencies that are compared, the wait first. */
export const COMPARED = [
  ["e2e_latency", "Wait"],
  ["response_time", "Wait, between events"],
  ["end_of_turn_delay", "End of turn"],
  ["transcription_delay", "Transcription"],
  ["llm_node_ttft", "LLM, first token"],
  ["tools", "Tools"],
  ["tts_node_ttfb", "TTS, first audio"],
];

/** What a side is, in words: `support-7 · AS_1`, `assistant 1.5.0`. */
export function sideName(side) {
  if (side.kind === "session") return [side.room, side.id].filter(Boolean).join(" · ");
  if (side.agent === null) return side.version === null ? "all agents" : `version ${side.version}`;
  return [side.agent, side.version].filter(Boolean).join(" ");
}

/** A difference in seconds with its sign: `−0.21 s`, `+1.02 s`, `0.00 s`. */
export function signed(difference, words = seconds) {
  const size = words(Math.abs(difference));
  if (!/[1-9]/.test(size)) return size;
  return `${difference < 0 ? "−" : "+"}${size}`;
}

const VERDICTS = { faster: "faster", slower: "slower", same: "about equal", few: "too few" };

/** A verdict of `judge` in words: `−0.21 s, −17 %, faster`. */
export function verdictWords({ difference, share, verdict }) {
  const part = share === null ? [] : [signed(share, (size) => `${Math.round(size * 100)} %`)];
  return [signed(difference), ...part, VERDICTS[verdict]].join(", ");
}

/**
 * The answer to “is B faster than A?” in one sentence. `a` and `b`: the wait of either, `{count, median, p95}`, or null where none
 * was measured; `median` and `p95`: what `judge` says.
 */
export function answer(a, b, median, p95) {
  if (!a || !b) {
    const missing = !a && !b ? "Neither side has a wait that was measured in the same way" : `${a ? "B" : "A"} has no wait that was measured as ${a ? "A" : "B"}'s was`;
    return `${missing}, so the two cannot be compared.`;
  }
  const values = `${seconds(b.median)} against ${seconds(a.median)}`;
  const turns = `${number(b.count)} and ${number(a.count)} turns`;
  const gap = seconds(Math.abs(median.difference));
  const way = median.difference < 0 ? "faster" : "slower";
  if (median.verdict === "few") {
    const soFar = /[1-9]/.test(gap) ? `so far, B's median is ${gap} ${way} (${values})` : `so far, the medians are the same (${seconds(b.median)})`;
    return `Not enough turns to tell (${turns}; ${median.needed} on each side are needed): ${soFar}.`;
  }
  const first = median.verdict === "same" ? `At the median, there is no difference of note (${values}, ${turns})` : `B answers ${gap} ${way} at the median (${values}, ${turns})`;
  return `${first}; ${tail(a, b, p95, median.verdict)}.`;
}

function tail(a, b, { difference, verdict, needed }, before) {
  const values = `${seconds(b.p95)} against ${seconds(a.p95)}`;
  if (verdict === "few") return `the 95th percentile needs ${needed} turns on each side to tell`;
  if (verdict === "same") return before === "same" ? `nor at the 95th percentile (${values})` : `at the 95th percentile there is no difference of note (${values})`;
  return `at the 95th percentile, ${before === "same" ? "B" : "it"} is ${seconds(Math.abs(difference))} ${verdict} (${values})`;
}

const per = (total, whole, digits = 1) => (whole > 0 ? Number((total / whole).toFixed(digits)) : null);
const shown = (value) => (value === null ? "" : number(value));

/**
 * Counts of both sides as `{label, values: [A's, B's], worse}`; values are words, `worse`: which side has the higher rate of
 * something bad, `a`, `b` or "".
 */
export function countRows(a, b) {
  const both = (label, words) => ({ label, values: [words(a), words(b)], worse: "" });
  const bad = (label, name) => {
    const [one, two] = [a, b].map((side) => (side.turns > 0 ? side[name] / side.turns : null));
    const tellable = one !== null && two !== null && Math.abs(a[name] - b[name]) >= 5 && Math.max(one, two) > 1.5 * Math.min(one, two);
    return { ...both(label, (side) => `${number(side[name])}${side.turns > 0 && side[name] ? ` · ${percent(side[name], side.turns)}` : ""}`), worse: tellable ? (one > two ? "a" : "b") : "" };
  };
  const costs = a.cost || b.cost ? [both("Cost per turn", (side) => costPerTurn(side)), both("Cost", (side) => (side.cost ? money(amount(side.cost), side.cost.currency) : ""))] : [];
  return [
    ...(a.sessions > 1 || b.sessions > 1 ? [both("Calls", (side) => number(side.sessions)), both("Turns per call", (side) => shown(per(side.turns, side.sessions)))] : []),
    both("Turns", (side) => number(side.turns)),
    bad("Errors, of turns", "errors"),
    bad("Tool errors, of turns", "tool_errors"),
    bad("Interruptions, of turns", "interruptions"),
    both("Tokens read per turn", (side) => shown(per(side.input_tokens ?? 0, side.turns, 0))),
    both("Tokens written per turn", (side) => shown(per(side.output_tokens ?? 0, side.turns, 0))),
    ...costs,
  ];
}

const amount = (cost) => (typeof cost === "number" ? cost : cost.amount);
const costPerTurn = ({ cost, turns }) => (cost && turns > 0 ? money(amount(cost) / turns, cost.currency) : "");
