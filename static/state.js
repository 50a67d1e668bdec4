// From events to what is going on: sessions, who speaks, and the items of the conversations. Pure: no page, clock or
// network; the same events give the same state. `apply` one event after the other, then `take` what has changed.

import { Agent } from "./agent-text.js";
import { describe } from "./notes.js";

export const LIMITS = { items: 2000, sessions: 200, text: 200_000 };

const kindOf = Object.prototype.toString;
const isText = (value) => typeof value === "string";
const isObject = (value) => value !== null && typeof value === "object" && kindOf.call(value) === "[object Object]";

export class State {
  constructor(limits = {}) {
    this.limits = { ...LIMITS, ...limits };
    this.sessions = new Map(); // key → session
    this.items = []; // of all sessions, in the order in which they began
    this.forgotten = 0; // items that were dropped, beyond the limit
    this.serial = 0;
    this.latest = new Map(); // room → its newest session
    this.changes = empty();
  }

  /** What has changed since the last call: `added`, `changed`, `removed` items and `sessions`. */
  take() {
    const changes = this.changes;
    this.changes = empty();
    return changes;
  }

  /** Take one event (an object as the hub sent it). Whatever its fields hold, this does not throw. */
  apply(event) {
    if (!isObject(event) || !isText(event.type)) return;
    if (event.type === "stream_gap") return this.#gap(event);
    const handler = HANDLERS[event.type] ?? (event.type.startsWith("livekit_") ? HANDLERS.livekit : undefined);
    const session = this.#session(event, handler !== undefined);
    if (!handler) return;
    if (session) session.at = number(event.timestamp) ?? session.at;
    handler(this, session, event);
    if (session) this.changes.sessions.add(session);
  }

  // -- sessions ---------------------------------------------------------------------------------------------------------

  #session(event, known) {
    const room = isText(event.room) ? event.room : null;
    const name = isText(event.session) ? event.session : null;
    if (name === null && room === null && (!known || PROCESS.has(event.type))) return null;
    if (name === null) {
      const latest = room === null ? this.sessions.get("") : this.latest.get(room);
      return latest ?? this.#begin(room, null);
    }
    const found = this.sessions.get(key(null, name));
    if (found) {
      if (found.room === null && room !== null) this.#enter(found, room);
      return found;
    }
    // What came of a room before its session was known belongs to that session, unless somebody spoke in it.
    const nameless = room === null ? undefined : this.sessions.get(key(room, null));
    if (!nameless || nameless.spoke) return this.#begin(room, name);
    this.sessions.delete(nameless.key);
    nameless.name = name;
    nameless.key = key(null, name);
    this.sessions.set(nameless.key, nameless);
    this.changes.sessions.add(nameless);
    return nameless;
  }

  #begin(room, name) {
    const session = {
      key: key(room, name),
      serial: ++this.serial,
      room: null,
      name,
      agent: null,
      agentState: null,
      userState: null,
      agentSpeaking: false,
      userSpeaking: false,
      ended: false,
      spoke: false,
      at: null,
      usage: null,
      open: new Map(), // speaker or utterance → the interim item that its final replaces
      replies: new Map(), // utterance → the agent's item
      reply: null, // the agent's newest item
      calls: new Map(), // call_id → tool item
    };
    this.sessions.set(session.key, session);
    if (room !== null) this.#enter(session, room);
    if (this.sessions.size > this.limits.sessions) this.#forgetSession(session);
    this.changes.sessions.add(session);
    return session;
  }

  #enter(session, room) {
    session.room = room;
    this.latest.set(room, session);
  }

  #forgetSession(newest) {
    const all = [...this.sessions.values()].filter((one) => one !== newest);
    const gone = all.find((one) => one.ended) ?? all[0];
    this.sessions.delete(gone.key);
    if (this.latest.get(gone.room) === gone) this.latest.delete(gone.room);
    for (const item of this.items.filter((one) => one.session === gone)) this.remove(item);
    this.changes.sessions.add(gone);
  }

  // -- items ------------------------------------------------------------------------------------------------------------

  /** Begin an item. `kind`: said, tool, note, error or gap. */
  add(session, kind, event, fields) {
    const item = { serial: ++this.serial, kind, session, at: number(event.timestamp), ...fields };
    this.items.push(item);
    this.changes.added.push(item);
    if (this.items.length > this.limits.items) {
      this.forgotten += 1;
      this.#drop(this.items.shift());
    }
    return item;
  }

  touch(item) {
    if (item) this.changes.changed.add(item);
  }

  remove(item) {
    const at = this.items.indexOf(item);
    if (at >= 0) this.items.splice(at, 1);
    this.#drop(item);
  }

  #drop(item) {
    item.gone = true;
    this.changes.removed.push(item);
    const { session } = item;
    if (!session) return;
    if (session.reply === item) session.reply = null;
    for (const map of [session.open, session.replies, session.calls]) {
      for (const [name, one] of map) if (one === item) map.delete(name);
    }
  }

  note(session, event, kind = "note") {
    return this.add(session, kind, event, describe(event));
  }

  // A gap may have swallowed the end of anything that was going on.
  #gap(event) {
    for (const session of this.sessions.values()) settle(this, session);
    this.note(null, event, "gap");
  }
}

const empty = () => ({ added: [], changed: new Set(), removed: [], sessions: new Set() });
const key = (room, name) => (name !== null ? `s ${name}` : room !== null ? `r ${room}` : "");
const number = (value) => (Number.isFinite(value) ? value : null);
const PROCESS = new Set(["agent_process_started", "agent_process_exited", "events_dropped"]);

// Nothing of this session is going on any more, as far as anybody knows.
function settle(state, session) {
  session.agentSpeaking = session.userSpeaking = false;
  session.agentState = session.userState = null;
  session.open.clear();
  for (const item of [session.reply, ...session.replies.values()]) {
    if (item && (item.speaking || item.generating)) {
      item.speaking = item.generating = false;
      state.touch(item);
    }
  }
  for (const item of session.calls.values()) {
    if (item.running) {
      item.running = false;
      state.touch(item);
    }
  }
  session.calls.clear();
  state.changes.sessions.add(session);
}

function transcript(state, session, event) {
  session.spoke = true;
  if (event.role === "agent" || (isText(event.utterance) && session.replies.has(event.utterance))) {
    Agent.said(state, session, event);
    return;
  }
  const text = isText(event.text) ? event.text : "";
  const speaker = event.participant ?? event.role ?? "";
  const name = isText(event.utterance) ? `u ${event.utterance}` : `p ${speaker}`;
  const interim = event.final === false;
  let item = session.open.get(name);
  if (!interim) session.open.delete(name);
  if (!text) {
    if (item && !interim) state.remove(item); // what sounded like speech was none
    return;
  }
  if (!item) {
    item = state.add(session, "said", event, { role: event.role ?? null, participant: event.participant ?? null });
    if (interim) session.open.set(name, item);
  }
  Object.assign(item, { text, interim });
  state.touch(item);
}

function toolStarted(state, session, event) {
  const { name, arguments: given } = event;
  const item = state.add(session, "tool", event, { name, given, running: true });
  session.calls.set(event.call_id, item);
}

function toolFinished(state, session, event) {
  let item = session.calls.get(event.call_id);
  session.calls.delete(event.call_id);
  item ??= state.add(session, "tool", event, { name: event.name ?? event.call_id });
  Object.assign(item, {
    running: false,
    finished: true,
    output: event.output,
    failed: event.is_error === true,
    duration: number(event.duration),
  });
  state.touch(item);
}

function metrics(state, session, event) {
  const item = session.replies.get(event.utterance) ?? session.reply;
  if (!item) return;
  item.metrics = event;
  state.touch(item);
}

const HANDLERS = {
  __proto__: null, // a type is anything, "constructor" too
  transcript,
  agent_text_delta: Agent.delta,
  agent_text_complete: Agent.complete,
  agent_speech_started: Agent.speechStarted,
  agent_speech_finished: Agent.speechFinished,
  agent_false_interruption(state, session, event) {
    if (event.resumed === true && session.reply) session.reply.interrupted = false;
    state.note(session, event);
  },
  user_speech_started: (state, session) => void (session.userSpeaking = true),
  user_speech_finished: (state, session) => void (session.userSpeaking = false),
  agent_state_changed: (state, session, event) => void (session.agentState = String(event.new_state)),
  user_state_changed: (state, session, event) => void (session.userState = String(event.new_state)),
  tool_call_started: toolStarted,
  tool_call_finished: toolFinished,
  turn_metrics: metrics,
  usage_updated: (state, session, event) => void (session.usage = event.model_usage ?? null),
  agent_ready: (state, session, event) => void state.note(session, event),
  agent_handoff(state, session, event) {
    session.agent = event.new_agent;
    state.note(session, event);
  },
  agent_error: (state, session, event) => void state.note(session, event, "error"),
  session_started(state, session, event) {
    session.ended = false;
    session.agent = event.agent ?? session.agent;
    state.note(session, event);
  },
  session_ended(state, session, event) {
    settle(state, session);
    session.ended = true;
    state.note(session, event);
  },
  agent_process_started: (state, session, event) => void state.note(session, event),
  agent_process_exited: (state, session, event) => void state.note(session, event, event.code ? "error" : "note"),
  events_dropped: (state, session, event) => void state.note(session, event, "gap"),
  livekit: (state, session, event) => void state.note(session, event),
};
