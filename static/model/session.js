// One session of the state, and the items of its conversation. Pure.

import { keep, Utterances } from "./utterances.js";

const WAITS = 200; // that are kept of a session
const REMEMBERED = 32; // utterances of a session whose items, or latencies, can still be found

export function create(key, serial, room, name) {
  return {
    key,
    serial,
    room,
    name,
    agent: null,
    process: null, // the id of the agent process that runs it, if the hub started it
    agentState: null,
    userState: null,
    agentSpeaking: false,
    userSpeaking: false,
    ended: false,
    spoke: false,
    forgotten: 0, // items that were dropped
    at: null, // the newest timestamp
    usage: null,
    said: "", // the newest words
    waiting: null, // since when the user waits for an answer, the event's timestamp
    waits: [], // s that the user waited, the newest turns
    utterances: new Utterances(),
    items: new Map(), // an utterance's number → its item
    figures: new Map(), // an utterance's name → latencies that came before its item
    calls: new Map(), // call_id → tool item
    finished: new Map(), // likewise for calls that a correction may still change
    speaking: 0, // the number of the utterance that is audible now
  };
}

/** Store `value` under `key`, with at most as many others as a session remembers. */
export const remember = (map, key, value) => keep(map, key, value, REMEMBERED);

/** From now on, names of utterances mean new utterances. */
export function reset(session) {
  session.utterances.reset();
  session.items.clear();
  session.figures.clear();
  session.calls.clear();
  session.finished.clear();
}

/** Give a new item the latencies that arrived before it. */
export function measure(session, utterance, item) {
  const known = session.figures.get(utterance.name);
  if (known) item.metrics = known;
  session.figures.delete(utterance.name);
}

/** The user has stopped speaking: the wait begins. */
export function wait(session, at) {
  if (Number.isFinite(at)) session.waiting = at;
}

/** The agent answers: the wait is over. */
export function answered(session, at) {
  if (session.waiting !== null && at >= session.waiting) session.waits.push(at - session.waiting);
  if (session.waits.length > WAITS) session.waits.shift();
  session.waiting = null;
}

/** There are words or speech: a room that was finished is in use again. */
export function begun(session) {
  session.spoke = true;
  if (session.name === null) session.ended = false;
}

/** These utterances were ended by another event. */
export function settleUtterances(state, session, settled) {
  for (const { utterance, fate } of settled) {
    const item = session.items.get(utterance.number);
    if (!item) continue;
    if (fate === "absorbed") state.hide(item);
    else if (fate === "unconfirmed") Object.assign(item, { interim: false, unconfirmed: true });
    else item.generating = item.speaking = false;
    state.touch(item);
  }
}

/** End everything in progress in this session. `over`: it has ended; otherwise events are missing, and it may continue. */
export function settle(state, session, over = true) {
  session.agentSpeaking = session.userSpeaking = false;
  session.agentState = session.userState = null;
  session.speaking = 0;
  session.waiting = null;
  if (over) settleUtterances(state, session, session.utterances.settle());
  for (const item of session.items.values()) {
    if (item.speaking || item.generating) {
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
