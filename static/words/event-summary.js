// An event as one line of the log. Pure.

import { duration, oneLine } from "./format.js";
import { crashed, describe, latencies } from "./event-notes.js";

const ENVELOPE = new Set(["type", "timestamp", "event_id", "room", "session", "participant", "role", "utterance"]);

const json = (value) => (typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value));
const flags = (event, ...names) => names.filter((name) => event[name]).join(", ");
const tail = (text) => (text ? ` (${text})` : "");

const LINES = {
  __proto__: null,
  transcript: (e) => `${e.participant ?? e.role ?? "unknown"}: ${json(e.text)}${e.interrupted ? " (interrupted)" : ""}`,
  agent_text_delta: (e) => JSON.stringify(e.delta),
  agent_text_complete: (e) => json(e.text),
  agent_speech_started: () => "",
  agent_speech_finished: (e) =>
    [Number.isFinite(e.position) && duration(e.position), flags(e, "interrupted")].filter(Boolean).join(", "),
  user_speech_started: (e) => json(e.participant),
  user_speech_finished: (e) => json(e.participant),
  agent_state_changed: (e) => `${json(e.old_state) || "…"} → ${json(e.new_state)}`,
  user_state_changed: (e) => `${json(e.old_state) || "…"} → ${json(e.new_state)}`,
  tool_call_started: (e) => `${json(e.name)}(${json(e.arguments)})`,
  tool_call_finished: (e) =>
    `${json(e.name ?? e.call_id)} → ${e.is_error ? "failed " : ""}${json(e.output)}${tail(Number.isFinite(e.duration) && duration(e.duration))}`,
  turn_metrics: (e) => latencies(e)?.long.replace(/: [^\n]*/g, "").replaceAll("\n", " · ") ?? "",
  usage_updated: (e) => e.model_usage.map(({ model, input_tokens, output_tokens }) => `${json(model)} ${input_tokens ?? 0} in, ${output_tokens ?? 0} out`).join(" · "),
  recording_available: (e) => duration(e.duration),
  trace_available: (e) => (e.complete ? "complete" : "the first spans"),
  heartbeat: () => "",
};

const NOTED = new Set([
  "agent_ready", "session_started", "session_ended", "agent_handoff", "agent_false_interruption", "agent_error",
  "agent_process_started", "agent_process_exited", "events_dropped", "stream_gap",
]);

/** What `event` says, on one line, without its type, room and time. Never throws. */
export function summary(event) {
  try {
    const own = LINES[event.type];
    if (own) return oneLine(own(event));
    if (NOTED.has(event.type)) return oneLine(describe(event).text);
  } catch {
    // a known type with unexpected fields: shown like an unknown type
  }
  const rest = Object.entries(event).filter(([name]) => !ENVELOPE.has(name));
  return rest.length ? oneLine(JSON.stringify(Object.fromEntries(rest))) : "";
}

/** The colour of an event in the log: user, agent, tool, delta, error, gap, or "". */
export function tone(event) {
  const { type } = event;
  if (type === "stream_gap" || type === "events_dropped") return "gap";
  if (type === "agent_error" || (type === "agent_process_exited" && crashed(event))) return "error";
  if (type === "tool_call_finished" && event.is_error) return "error";
  if (type === "agent_text_delta") return "delta";
  if (type.startsWith("tool_")) return "tool";
  if (type.startsWith("user_") || event.role === "user") return "user";
  if (type.startsWith("agent_") || event.role === "agent") return "agent";
  return "";
}
