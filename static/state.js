// From events to what is going on: sessions, who speaks, and the items of the conversations. Pure: no page, clock or
// network; the same events give the same state. `apply` one event after the other, then `take` what has changed.

import { Agent } from "./agent-text.js";
import { crashed, describe, noted } from "./notes.js";
import { begun, create, forgetInterims, measure, remember, settle } from "./session.js";

export const LIMITS = { items: 1000, sessions: 200, text: 100_000 };

const kindOf = Object.prototype.toString;
const isText = (value) => typeof value === "string";
const isObject = (value) => value !== null && typeof value === "object" && kindOf.call(value) === "[object Object]";

export class State {
  /** `keeps(item)`: whether an item is being looked at; the others are forgotten first. */
  constructor(limits = {}, keeps = () => false) {
    this.limits = { ...LIMITS, ...limits };
    this.keeps = keeps;
    this.sessions = new Map(); // key → session
    this.items = []; // of all sessions, in the order in which they began
    this.forgotten = 0; // items that were dropped, beyond the limit
    this.serial = 0;
    this.latest = new Map(); // room → its newest session
    this.named = new Map(); // name → the first session of that name
    this.changes = empty();
  }

  /**
   * What has changed since the last call: `added`, `changed`, `removed` items and `sessions`; `moved`: a session was
   * given its room or its name, so that items may belong elsewhere.
   */
  take() {
    const changes = this.changes;
    this.changes = empty();
    return changes;
  }

  /** Take one event (an object as the hub sent it). Whatever its fields hold, this does not throw. */
  apply(event) {
    if (!isObject(event) || !isText(event.type)) return;
    if (event.type === "stream_gap") return this.#gap(event);
    const handler = HANDLERS[event.type] ?? (event.type.startsWith("livekit_") ? webhook : undefined);
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
    // What an agent's process says of itself belongs to no conversation.
    if (name === null && room === null && (!known || PROCESS.has(event.type) || "agent_id" in event)) return null;
    const found = this.#find(room, name) ?? this.#begin(room, name);
    this.sessions.delete(found.key); // the map's order is that of their last events
    this.sessions.set(found.key, found);
    return found;
  }

  #find(room, name) {
    if (name === null) return room === null ? this.sessions.get(key(null, null)) : this.latest.get(room);
    if (room === null) return this.named.get(name);
    const found = this.sessions.get(key(room, name));
    if (found) return found;
    const roomless = this.sessions.get(key(null, name));
    if (roomless) return this.#rename(roomless, room, name);
    // What came of a room before its session was known belongs to that session, unless somebody spoke in it. (If it is
    // the room's newest no more, another session has come to the room meanwhile.)
    const nameless = this.latest.get(room);
    return nameless?.name === null && !nameless.spoke ? this.#rename(nameless, room, name) : undefined;
  }

  #rename(session, room, name) {
    this.sessions.delete(session.key);
    Object.assign(session, { room, name, key: key(room, name) });
    this.changes.moved = true;
    return this.#file(session);
  }

  #begin(room, name) {
    const session = create(key(room, name), ++this.serial, room, name);
    if (this.sessions.size >= this.limits.sessions) this.#forgetSession();
    this.changes.sessions.add(session);
    return this.#file(session);
  }

  #file(session) {
    const { room, name } = session;
    if (room !== null) this.latest.set(room, session);
    if (name !== null && !this.named.has(name)) this.named.set(name, session);
    return session;
  }

  // The one that has been quiet longest goes, ended ones first. What was said in it stays.
  #forgetSession() {
    const all = [...this.sessions.values()];
    const others = all.filter((session) => !this.keeps({ session }));
    const gone = others.find((one) => one.ended) ?? others[0] ?? all[0];
    this.sessions.delete(gone.key);
    if (this.latest.get(gone.room) === gone) this.latest.delete(gone.room);
    if (this.named.get(gone.name) === gone) {
      const namesake = [...this.sessions.values()].find(({ name }) => name === gone.name);
      if (namesake) this.named.set(gone.name, namesake);
      else this.named.delete(gone.name);
    }
    settle(this, gone);
  }

  // -- items ------------------------------------------------------------------------------------------------------------

  /** Begin an item. `kind`: said, tool, note, error or gap. */
  add(session, kind, event, fields) {
    const item = { serial: ++this.serial, kind, session, at: number(event.timestamp), ...fields };
    this.items.push(item);
    this.changes.added.push(item);
    if (this.items.length > this.limits.items) {
      this.forgotten += 1;
      const at = this.items.findIndex((one) => !this.keeps(one));
      this.#drop(...this.items.splice(Math.max(at, 0), 1));
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
    for (const map of [session.open, session.replies, session.heard, session.calls]) {
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

const empty = () => ({ added: [], changed: new Set(), removed: [], sessions: new Set(), moved: false });
const key = (room, name) => JSON.stringify([room, name]);
const number = (value) => (Number.isFinite(value) ? value : null);
const PROCESS = new Set(["agent_process_started", "agent_process_exited", "events_dropped"]);

function transcript(state, session, event) {
  begun(session);
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
    if (interim) remember(session.open, name, item);
    if (isText(event.utterance)) {
      remember(session.heard, event.utterance, item);
      measure(session, event.utterance, item);
    }
  }
  Object.assign(item, { text, interim });
  state.touch(item);
}

function toolStarted(state, session, event) {
  const { name, arguments: given } = event;
  const item = state.add(session, "tool", event, { name, given, running: true });
  remember(session.calls, event.call_id, item);
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

// Latencies of one utterance may come in several events, and before what was said.
function metrics(state, session, event) {
  const { utterance } = event;
  const item = isText(utterance) ? (session.replies.get(utterance) ?? session.heard.get(utterance)) : session.reply;
  if (item) {
    item.metrics = { ...item.metrics, ...event };
    state.touch(item);
  } else if (isText(utterance)) {
    remember(session.figures, utterance, { ...session.figures.get(utterance), ...event });
  }
}

const webhook = (state, session, event) => void (noted(event) && state.note(session, event));

const HANDLERS = {
  __proto__: null, // a type is anything, "constructor" too
  transcript,
  agent_text_delta: Agent.delta,
  agent_text_complete: Agent.complete,
  agent_speech_started: Agent.speechStarted,
  agent_speech_finished: Agent.speechFinished,
  agent_false_interruption(state, session, event) {
    const item = session.replies.get(event.utterance) ?? session.reply;
    if (event.resumed === true && item) {
      item.interrupted = false;
      state.touch(item);
    }
    state.note(session, event);
  },
  user_speech_started(state, session) {
    begun(session);
    session.userSpeaking = true;
    forgetInterims(session);
  },
  user_speech_finished: (state, session) => void (session.userSpeaking = false),
  agent_state_changed: (state, session, event) => void (session.agentState = String(event.new_state)),
  user_state_changed: (state, session, event) => void (session.userState = String(event.new_state)),
  tool_call_started: toolStarted,
  tool_call_updated() {},
  tool_call_finished: toolFinished,
  turn_metrics: metrics,
  usage_updated: (state, session, event) => void (session.usage = event.model_usage ?? null),
  agent_ready(state, session, event) {
    if (session && isText(event.agent_id)) session.process = event.agent_id;
    state.note(session, event);
  },
  agent_handoff(state, session, event) {
    session.agent = event.new_agent;
    state.note(session, event);
  },
  agent_error: (state, session, event) => void state.note(session, event, "error"),
  session_started(state, session, event) {
    if (session.ended || session.spoke) {
      // The same name once more: its utterances are other ones.
      settle(state, session);
      for (const map of [session.open, session.replies, session.heard, session.figures]) map.clear();
      session.reply = null;
    }
    session.ended = false;
    session.process = null;
    session.agent = event.agent ?? session.agent;
    state.note(session, event);
  },
  session_ended(state, session, event) {
    settle(state, session);
    session.ended = true;
    state.note(session, event);
  },
  agent_process_started: (state, session, event) => void state.note(session, event),
  agent_process_exited(state, session, event) {
    // What an agent that was killed had begun, nobody else ends.
    for (const one of state.sessions.values()) {
      if (one.process === null || one.process !== event.agent) continue;
      settle(state, one);
      one.ended = true;
      one.process = null;
    }
    state.note(session, event, crashed(event) ? "error" : "note");
  },
  events_dropped: (state, session, event) => void state.note(session, event, "gap"),
  livekit_room_finished(state, session, event) {
    for (const one of state.sessions.values()) {
      if (one !== session && (one.room === null || one.room !== event.room)) continue;
      settle(state, one);
      one.ended = true;
    }
    state.note(session, event);
  },
};
