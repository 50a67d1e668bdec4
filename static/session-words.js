// What a session's document says, in words and shares. Pure.

import { duration, number, plural } from "./format.js";

const PARTS = {
  __proto__: null,
  end_of_turn_delay: ["turn", "until the turn was decided to be over"],
  on_user_turn_completed_delay: ["callback", "in the agent's own callback"],
  tools: ["tools", "while tools ran"],
  llm_node_ttft: ["LLM", "until the LLM's first token"],
  tts_node_ttfb: ["TTS", "until the TTS's first audio"],
  playback_latency: ["playback", "until the audio was heard"],
  unaccounted: ["unaccounted", "that no figure accounts for"],
};

const FIGURES = {
  __proto__: null,
  e2e_latency: "answer heard",
  response_time: "answer, by the events",
  transcription_delay: "transcript",
  end_of_turn_delay: "turn decided",
  on_user_turn_completed_delay: "callback",
  llm_node_ttft: "LLM, first token",
  llm_node_ttfs: "LLM, first sentence",
  tts_node_ttfb: "TTS, first audio",
  playback_latency: "playback",
};

/** How the API calls a session of the state's. */
export const idOf = ({ room, name }) => name ?? (room === null ? "none" : `room:${room}`);

/** The path of a session at the API, or of what lies below it. */
export function pathOf(session, below = "") {
  const room = session.name !== null && session.room !== null ? `?room=${encodeURIComponent(session.room)}` : "";
  return `/api/sessions/${encodeURIComponent(idOf(session))}${below}${room}`;
}

/** `[name, value]` of what there is to say in a line each; what did not happen is left out. */
export function facts({ status, reason, duration: lasted, counts, speech, agent, partial, usage }) {
  const some = (n, one, many) => (n ? plural(n, one, many) : null);
  const tokens = usage.reduce((sum, one) => sum + (one.input_tokens ?? 0) + (one.output_tokens ?? 0), 0);
  const trouble = [some(counts.errors, "error"), some(counts.tool_errors, "failed tool"), some(counts.events_dropped, "dropped event")];
  const cuts = [some(counts.interruptions, "interruption"), some(counts.false_interruptions, "false one", "false ones")];
  return [
    ["State", [status, reason].filter(Boolean).join(", ")],
    ["Lasted", lasted === null ? "" : duration(lasted)],
    ["Agent", agent ?? ""],
    ["Turns", [number(counts.turns), ...cuts.filter(Boolean)].join(" · ")],
    ["Heard", speech.user + speech.agent > 0 ? `user ${duration(speech.user)} · agent ${duration(speech.agent)}` : ""],
    ["Tools", counts.tool_calls ? plural(counts.tool_calls, "call") : ""],
    ["Trouble", trouble.filter(Boolean).join(" · ")],
    ["Tokens", tokens ? number(tokens) : ""],
    ["Events", `${number(counts.events)}${partial ? ", and those that the hub no longer keeps" : ""}`],
  ].filter(([, value]) => value);
}

/** Rows of the table of latencies: `[words, name, median, p95, max, count]`. */
export function rows({ latency }) {
  return Object.entries(FIGURES).filter(([name]) => latency[name]).map(([name, words]) => {
    const { median, p95, max, count } = latency[name];
    return [words, name, duration(median), duration(p95), duration(max), number(count)];
  });
}

/** The parts of a turn's latency, `{name, label, seconds}`, what is unaccounted for included; none where nothing is known. */
export function parts({ latency }) {
  const known = latency?.parts ?? [];
  const left = latency?.unaccounted > 0 ? [{ name: "unaccounted", seconds: latency.unaccounted }] : [];
  return [...known, ...left].map(({ name, seconds }) => ({ name, seconds, label: PARTS[name]?.[0] ?? name }));
}

/** All of a turn's latency in a sentence for each part. */
export function explain({ latency }) {
  if (!latency) return "";
  const total = latency.total === undefined ? [] : [`${duration(latency.total)} from the end of the user's speech until the agent was heard${latency.measured === "events" ? " (between the events)" : ""}`];
  const each = parts({ latency }).map(({ name, seconds }) => `${duration(seconds)} ${PARTS[name]?.[1] ?? name}`);
  const overlap = latency.overlap > 0 ? [`${duration(latency.overlap)} less, for parts that ran side by side`] : [];
  return [...total, ...each, ...overlap].join("\n");
}

/** `[name, label]` of all parts that any of these turns has, in the order in which they happen. */
export function legend(turns) {
  const there = new Set(turns.flatMap(parts).map(({ name }) => name));
  return Object.entries(PARTS).filter(([name]) => there.has(name)).map(([name, [label]]) => [name, label]);
}

/** The longest bar of all turns, in seconds. */
export function longest(turns) {
  const sum = (turn) => parts(turn).reduce((total, part) => total + part.seconds, 0);
  return Math.max(0, ...turns.map(sum));
}
