// The page's words about sessions, from the session document. Pure.

import { duration, number, plural } from "./format.js";

const PARTS = {
  __proto__: null,
  end_of_turn_delay: ["end of turn", "until the end of turn was detected"],
  on_user_turn_completed_delay: ["callback", "in the agent's callback"],
  tools: ["tools", "while tools ran"],
  llm_node_ttft: ["LLM", "until the LLM's first token"],
  tts_node_ttfb: ["TTS", "until the TTS's first audio"],
  playback_latency: ["playback", "until the audio was heard"],
  unaccounted: ["unaccounted", "not accounted for"],
};

const FIGURES = {
  __proto__: null,
  e2e_latency: "end to end",
  response_time: "response time",
  transcription_delay: "transcription",
  end_of_turn_delay: "end of turn",
  on_user_turn_completed_delay: "callback",
  llm_node_ttft: "LLM, first token",
  llm_node_ttfs: "LLM, first sentence",
  tts_node_ttfb: "TTS, first audio",
  playback_latency: "playback",
};

/** The API's id for one of the state's sessions. */
export const idOf = ({ room, name }) => name ?? (room === null ? "none" : `room:${room}`);

/** The API path of a session, or of a resource `below` it. */
export function pathOf(session, below = "") {
  const room = session.name !== null && session.room !== null ? `?room=${encodeURIComponent(session.room)}` : "";
  return `/api/sessions/${encodeURIComponent(idOf(session))}${below}${room}`;
}

/** Why a recording is silent. `error`: the hub's, if it does not give it. */
export const silent = (error) => `The recording cannot be played: ${error?.problem?.detail ?? error?.message ?? "this browser does not understand it"}.`;

/** The forms of a transcript. */
export const FORMS = ["txt", "md", "srt", "vtt", "json"];

/** The API path of the transcript of all of a room's sessions. */
export const roomTranscript = (room, form) => `/api/rooms/${encodeURIComponent(room)}/transcript.${form}`;

/** The facts of a session as `[name, value]`; those without a value are left out. */
export function facts({ status, reason, duration: lasted, counts, speech, agent, partial, usage }) {
  const some = (n, singular, many) => (n ? plural(n, singular, many) : null);
  const tokens = usage.reduce((sum, { input_tokens, output_tokens }) => sum + (input_tokens ?? 0) + (output_tokens ?? 0), 0);
  const errors = [some(counts.errors, "error"), some(counts.tool_errors, "failed tool"), some(counts.events_dropped, "dropped event")];
  const cuts = [some(counts.interruptions, "interruption"), some(counts.false_interruptions, "false interruption")];
  return [
    ["State", [status, reason].filter(Boolean).join(", ")],
    ["Duration", lasted === null ? "" : duration(lasted)],
    ["Agent", agent ?? ""],
    ["Turns", [number(counts.turns), ...cuts.filter(Boolean)].join(" · ")],
    ["Speech", speech.user + speech.agent > 0 ? `user ${duration(speech.user)} · agent ${duration(speech.agent)}` : ""],
    ["Tools", counts.tool_calls ? plural(counts.tool_calls, "call") : ""],
    ["Errors", errors.filter(Boolean).join(" · ")],
    ["Tokens", tokens ? number(tokens) : ""],
    ["Events", `${number(counts.events)}${partial ? " stored; older ones are gone" : ""}`],
  ].filter(([, value]) => value);
}

/** Rows of the latency table: `[label, name, median, p95, max, count]`. */
export function rows({ latency }) {
  return Object.entries(FIGURES).filter(([name]) => latency[name]).map(([name, label]) => {
    const { median, p95, max, count } = latency[name];
    return [label, name, duration(median), duration(p95), duration(max), number(count)];
  });
}

/** The parts of a turn's latency as `{name, label, seconds}`, including the unaccounted rest; empty if unknown. */
export function parts({ latency }) {
  const known = latency?.parts ?? [];
  const rest = latency?.unaccounted > 0 ? [{ name: "unaccounted", seconds: latency.unaccounted }] : [];
  return [...known, ...rest].map(({ name, seconds }) => ({ name, seconds, label: PARTS[name]?.[0] ?? name }));
}

/** A turn's latency in words, one line per part. */
export function explain({ latency }) {
  if (!latency) return "";
  const total = latency.total === undefined ? [] : [`${duration(latency.total)} from the end of the user's speech until the agent was heard${latency.measured === "events" ? " (measured between events)" : ""}`];
  const each = parts({ latency }).map(({ name, seconds }) => `${duration(seconds)} ${PARTS[name]?.[1] ?? name}`);
  const overlap = latency.overlap > 0 ? [`${duration(latency.overlap)} less, because parts overlapped`] : [];
  return [...total, ...each, ...overlap].join("\n");
}

/** `[name, label]` of the parts that occur in these turns, in order. */
export function legend(turns) {
  const present = new Set(turns.flatMap(parts).map(({ name }) => name));
  return Object.entries(PARTS).filter(([name]) => present.has(name)).map(([name, [label]]) => [name, label]);
}

/** The length of the longest bar, in seconds. */
export function longest(turns) {
  const sum = (turn) => parts(turn).reduce((total, part) => total + part.seconds, 0);
  return Math.max(0, ...turns.map(sum));
}

/** What a turn does not list, because it has too much of it; empty if it lists everything. */
export function leftOut({ left_out: counts = {} }) {
  const parts = [["tools", "tool call"], ["replies", "reply", "replies"], ["utterances", "utterance"]]
    .filter(([name]) => counts[name] > 0)
    .map(([name, one, many]) => plural(counts[name], one, many));
  return parts.length ? `${parts.join(", ")} not listed` : "";
}
