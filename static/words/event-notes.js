// Notes for events that are neither speech nor tools: of a session, an agent or the stream. Latencies in words. Pure.

import { duration, isWebAddress, plural } from "./format.js";

const GAPS = {
  __proto__: null,
  too_slow: "this page was too slow",
  retention: "the hub no longer stores them",
  unknown_epoch: "the hub's history was reset",
  unknown_cursor: "the hub did not recognize the page's last event",
  future_cursor: "the hub's history was restored from an older copy",
};

const text = (value) => (typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value));
const join = (...parts) => parts.filter(Boolean).join(" · ");

const NOTES = {
  __proto__: null,
  agent_ready: (e) => ({ title: "Agent ready", text: text(e.message), ...(isWebAddress(e.address) && { address: e.address }) }),
  session_started: (e) => ({ title: "Session started", text: join(text(e.agent), text(e.mode)) }),
  session_ended: (e) => ({ title: "Session ended", text: text(e.reason) }),
  recording_available: (e) => ({ title: "Recording", text: `${duration(e.duration)}, in the session's panel` }),
  agent_handoff: (e) => ({ title: "Handoff", text: `${text(e.old_agent) || "…"} → ${text(e.new_agent)}` }),
  agent_false_interruption: (e) => ({
    title: "False interruption",
    text: e.resumed ? "the agent continues" : "the agent does not continue",
  }),
  agent_error: (e) => ({
    title: `Error${e.source ? ` in ${text(e.source)}` : ""}`,
    text: join(text(e.message), e.recoverable === true && "the session continues", e.recoverable === false && "not recoverable"),
  }),
  agent_process_started: (e) => ({ title: "Agent started", text: join(text(e.agent), `pid ${text(e.pid)}`) }),
  agent_process_exited: (e) => ({
    title: "Agent ended",
    text: join(text(e.agent), text(e.reason), e.code !== undefined && e.code !== null && `code ${text(e.code)}`, text(e.error)),
  }),
  events_dropped: (e) => ({
    title: "Dropped",
    text: `The publisher had to drop ${Number.isFinite(e.count) ? plural(e.count, "event") : "events"} here: ${text(e.reason) || "no reason given"}`,
  }),
  stream_gap: (e) => ({
    title: "Gap",
    text: `${Number.isFinite(e.missed) ? plural(e.missed, "event is", "events are") : "Events are"} missing here: ${GAPS[e.reason] ?? text(e.reason)}`,
  }),
};

const ROOM = {
  __proto__: null,
  livekit_participant_joined: "Joined",
  livekit_participant_left: "Left",
  livekit_participant_connection_aborted: "Aborted",
  livekit_room_finished: "Room closed",
};
const NOT_NOTED = new Set(["livekit_room_started", "livekit_track_published", "livekit_track_unpublished"]);

/** Whether an event of LiveKit's webhooks is worth a note in the conversation; the log shows all of them. */
export const noted = (event) => !NOT_NOTED.has(event.type);

/** The note for an event: `{title, text, address?}`. The address can be a link. */
export function describe(event) {
  const own = NOTES[event.type];
  if (own) return own(event);
  const title = ROOM[event.type] ?? event.type.replace(/^livekit_/, "LiveKit: ").replaceAll("_", " ");
  return { title, text: text(event.participant ?? "") };
}

const ORDERLY = new Set(["stopped", "killed", "finished"]);

/** Whether an `agent_process_exited` reports a failure. A process that was stopped may exit with any code. */
export const crashed = (event) => (event.reason ? !ORDERLY.has(event.reason) : Boolean(event.code));

const LATENCIES = {
  e2e_latency: "from the end of the user's speech until the agent is heard",
  transcription_delay: "end of speech until the final transcript",
  end_of_turn_delay: "end of speech until the end of turn was detected",
  on_user_turn_completed_delay: "time in the agent's callback",
  llm_node_ttft: "request until the LLM's first token",
  tts_node_ttfb: "first text until the TTS's first audio",
  playback_latency: "first audio until it is heard",
};

const SHORT = {
  e2e_latency: "",
  transcription_delay: "STT ",
  end_of_turn_delay: "end of turn ",
  on_user_turn_completed_delay: "callback ",
  llm_node_ttft: "LLM ",
  tts_node_ttfb: "TTS ",
  playback_latency: "playback ",
};

/** The latencies of a `turn_metrics` event: `short`, the most important one, and `long`, all of them. Null if there are none. */
export function latencies(event) {
  const known = Object.entries(LATENCIES).filter(([name]) => Number.isFinite(event[name]));
  if (!known.length) return null;
  const [first] = known;
  return {
    short: `${SHORT[first[0]]}${duration(event[first[0]])}`,
    long: known.map(([name, about]) => `${name} ${duration(event[name])}: ${about}`).join("\n"),
  };
}
