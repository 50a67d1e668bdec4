// The state that events add up to: sessions, who speaks, and the items of the conversations. Pure: no page, clock or
// network; the same events give the same state. `apply` events in order, then `take` the changes.

import { Agent } from "./agent-text.js";
import { crashed, describe, noted } from "../words/event-notes.js";
import { answered, begun, create, measure, remember, reset, settle, settleUtterances, wait } from "./session.js";
import { stamp } from "./utterances.js";

export const LIMITS = { items: 1000, sessions: 200, text: 100_000 };
const MOVED = 50; // how many newer items an utterance can be placed before, if its first event comes late

const kindOf = Object.prototype.toString;
const isText = (value) => typeof value === "string";
const isObject = (value) => value !== null && typeof value === "object" && kindOf.call(value) === "[object Object]";

export class State {
  /** `keeps(item)`: whether an item is being viewed; the others are dropped first. */
  constructor(limits = {}, keeps = () => false) {
    this.limits = { ...LIMITS, ...limits };
    this.keeps = keeps;
    this.sessions = new Map(); // key → session
    this.items = []; // of all sessions, in the order in which they began
    this.forgotten = 0; // items dropped beyond the limit
    this.serial = 0;
    this.rank = 0;
    this.latest = new Map(); // room → its newest session
    this.named = new Map(); // name → the first session of that name
    this.changes = empty();
  }

  /**
   * The changes since the last call: `added`, `changed`, `removed` items and `sessions`; `placed`: items whose `rank`, their
   * place among the others, has changed; `moved`: a session got its room or its name, so its items may belong elsewhere.
   */
  take() {
    const changes = this.changes;
    this.changes = empty();
    return changes;
  }

  /** Apply one event, as the hub sent it. Never throws, whatever its fields hold. */
  apply(event) {
    if (!isObject(event) || !isText(event.type)) return;
    if (event.type === "stream_gap") return this.#gap(event);
    const handler = HANDLERS[event.type] ?? (event.type.startsWith("livekit_") ? webhook : undefined);
    const session = this.#session(event, handler !== undefined);
    if (!handler) return;
    if (session) session.at = number(event.timestamp) ?? session.at;
    const resolved = session?.utterances.take(event) ?? null;
    if (resolved) settleUtterances(this, session, resolved.settled);
    handler(this, session, event, resolved);
    if (session) this.changes.sessions.add(session);
  }

  // -- sessions ---------------------------------------------------------------------------------------------------------

  #session(event, known) {
    const room = isText(event.room) ? event.room : null;
    const name = isText(event.session) ? event.session : null;
    // Events of an agent's process do not belong to a conversation.
    if (name === null && room === null && (!known || PROCESS.has(event.type) || "agent_id" in event)) return null;
    const found = this.#find(room, name) ?? this.#begin(room, name);
    this.sessions.delete(found.key); // the map is ordered by their newest events
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
    // Events of a room before its session had a name belong to that session, unless something was said before. (If it is
    // no longer the room's newest, another session has started in the room.)
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

  // Drop the session that has been silent longest, ended ones first. Its items stay.
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
    const item = { serial: ++this.serial, kind, session, at: stamp(event), ...fields };
    this.#insert(item, this.items.length);
    this.changes.added.push(item);
    this.#limit();
    return item;
  }

  /** Begin the item of an utterance, placed where it began: its first event may come late. */
  addSaid(session, event, utterance, fields) {
    const late = utterance.began !== null && utterance.began !== stamp(event);
    const at = utterance.began ?? stamp(event);
    const item = { serial: ++this.serial, kind: "said", session, at, ...fields };
    this.#insert(item, late ? this.#place(item) : this.items.length);
    this.changes.added.push(item);
    this.#limit();
    return item;
  }

  /** The utterance began at another time than assumed. */
  stand(item, at) {
    if (at === null || item.at === at) return;
    item.at = at;
    const from = this.items.lastIndexOf(item);
    if (from < 0) return;
    this.items.splice(from, 1);
    const to = this.#place(item);
    this.#insert(item, to);
    if (to !== from) this.changes.placed.add(item);
  }

  /** Hide an item; it may be shown again. */
  hide(item) {
    const at = this.items.lastIndexOf(item);
    if (at >= 0) this.items.splice(at, 1);
    item.gone = true;
    this.changes.removed.push(item);
  }

  /** Show a hidden item again. */
  show(item) {
    if (!item.gone) return;
    item.gone = false;
    let at = this.items.length;
    while (at > 0 && this.items[at - 1].rank > item.rank) at -= 1;
    this.items.splice(at, 0, item);
    this.changes.added.push(item);
  }

  // The index of an item: before the newer items of its session that began later.
  #place(item) {
    let place = this.items.length;
    let passed = 0;
    for (let at = place - 1; at >= 0 && passed < MOVED && place - at < 20 * MOVED; at -= 1) {
      const other = this.items[at];
      if (other.session !== item.session) continue;
      if (other.at === null || other.at <= item.at) break;
      passed += 1;
      place = at;
    }
    return place;
  }

  // The ranks of items are in their order, so that views know where an item belongs.
  #insert(item, at) {
    const before = this.items[at - 1]?.rank;
    const after = this.items[at]?.rank;
    item.rank = after === undefined ? (this.rank += 1) : before === undefined ? after - 1 : (before + after) / 2;
    this.items.splice(at, 0, item);
  }

  #limit() {
    if (this.items.length > this.limits.items) {
      this.forgotten += 1;
      const at = this.items.findIndex((one) => !this.keeps(one));
      const [item] = this.items.splice(Math.max(at, 0), 1);
      if (item.session) item.session.forgotten += 1;
      this.#drop(item);
    }
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
    for (const map of [session.items, session.calls, session.finished]) {
      for (const [name, one] of map) if (one === item) map.delete(name);
    }
  }

  note(session, event, kind = "note") {
    return this.add(session, kind, event, describe(event));
  }

  // The end of anything in progress may be among the missing events.
  #gap(event) {
    for (const session of this.sessions.values()) settle(this, session, false);
    this.note(null, event, "gap");
  }
}

const empty = () => ({ added: [], changed: new Set(), removed: [], placed: new Set(), sessions: new Set(), moved: false });
const key = (room, name) => JSON.stringify([room, name]);
const number = (value) => (Number.isFinite(value) ? value : null);
const PROCESS = new Set(["agent_process_started", "agent_process_exited", "events_dropped"]);

function transcript(state, session, event, resolved) {
  begun(session);
  if (isText(event.text)) session.said = event.text;
  if (!resolved) return;
  const { utterance, drops } = resolved;
  if (utterance.role === "agent") {
    Agent.said(state, session, event, utterance);
    return;
  }
  let item = session.items.get(utterance.number);
  if (drops) {
    if (item) state.remove(item); // it was not speech
    return;
  }
  if (!item) {
    item = state.addSaid(session, event, utterance, { role: event.role ?? null, participant: null });
    remember(session.items, utterance.number, item);
    if (utterance.name !== null) measure(session, utterance, item);
  } else {
    state.show(item);
    state.stand(item, utterance.began);
  }
  Object.assign(item, { text: event.text, interim: event.final === false, unconfirmed: false });
  item.participant = event.participant ?? item.participant;
  item.voice = event.speaker_id ?? item.voice;
  state.touch(item);
}

// How an event changes its reply; without a reply, only the session's state changes.
const agent = (handle) => (state, session, event, resolved) => {
  if (resolved) handle(state, session, event, resolved.utterance);
};

function toolStarted(state, session, event) {
  const { name, arguments: given } = event;
  const item = state.add(session, "tool", event, { name, given, running: true });
  remember(session.calls, event.call_id, item);
}

function toolFinished(state, session, event) {
  let item = session.calls.get(event.call_id) ?? (event.correction === true ? session.finished.get(event.call_id) : undefined);
  session.calls.delete(event.call_id);
  item ??= state.add(session, "tool", event, { name: event.name ?? event.call_id });
  Object.assign(item, {
    running: false,
    finished: true,
    output: event.output,
    failed: event.is_error === true,
    duration: number(event.duration),
  });
  remember(session.finished, event.call_id, item);
  state.touch(item);
}

// The latencies of an utterance may come in several events, and before its words.
function metrics(state, session, event) {
  const label = isText(event.utterance) ? event.utterance : null;
  const utterance = label === null ? session.utterances.reply : session.utterances.find(label);
  const item = session.items.get(utterance?.number);
  if (item) {
    item.metrics = { ...item.metrics, ...event };
    state.touch(item);
  } else if (label !== null) {
    remember(session.figures, label, { ...session.figures.get(label), ...event });
  }
}

const webhook = (state, session, event) => void (noted(event) && state.note(session, event));

const HANDLERS = {
  __proto__: null, // a type can be any text, such as "constructor"
  transcript,
  agent_text_delta: agent(Agent.delta),
  agent_text_complete: agent(Agent.complete),
  agent_text_unsaid: agent(Agent.unsaid),
  agent_speech_started(state, session, event, resolved) {
    answered(session, number(event.timestamp));
    if (resolved) Agent.speechStarted(state, session, event, resolved.utterance);
  },
  agent_speech_finished(state, session, event, resolved) {
    session.agentSpeaking = false;
    session.speaking = 0;
    if (resolved) Agent.speechFinished(state, session, event, resolved.utterance);
  },
  agent_false_interruption(state, session, event, resolved) {
    const item = session.items.get(resolved?.utterance.number);
    if (event.resumed === true && item) {
      item.interrupted = false;
      state.touch(item);
    }
    state.note(session, event);
  },
  user_speech_started(state, session) {
    begun(session);
    session.userSpeaking = true;
  },
  user_speech_finished(state, session, event) {
    session.userSpeaking = false;
    wait(session, number(event.timestamp));
  },
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
  recording_available: (state, session, event) => void state.note(session, event),
  trace_available() {},
  alert_raised() {},
  alert_cleared() {},
  annotation() {},
  agent_error: (state, session, event) => void state.note(session, event, "error"),
  session_started(state, session, event) {
    if (session.ended || session.spoke) {
      settle(state, session); // the same name again
      reset(session);
    }
    session.ended = false;
    session.process = null;
    session.agent = event.agent ?? session.agent;
    state.note(session, event);
  },
  session_ended(state, session, event) {
    settle(state, session);
    reset(session);
    session.ended = true;
    state.note(session, event);
  },
  agent_process_started: (state, session, event) => void state.note(session, event),
  agent_process_exited(state, session, event) {
    // A killed agent reports no end of its sessions.
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
