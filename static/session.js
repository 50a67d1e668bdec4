// One session as the state knows it, and what holds for all that goes on in it. Pure.

const REMEMBERED = 50; // utterances of a session whose items can still be found

export function create(key, serial, room, name) {
  return {
    key,
    serial,
    room,
    name,
    agent: null,
    process: null, // the id of the agent process that runs it, where a hub has started that
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
    heard: new Map(), // utterance → the user's item
    figures: new Map(), // utterance → latencies that came before their item
    reply: null, // the agent's newest item
    calls: new Map(), // call_id → tool item
  };
}

/** Keep `item` under `name`, with as many others as may be remembered. */
export function remember(map, name, item) {
  map.set(name, item);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value);
}

/** An interim that never got its final is not the beginning of what the same speaker says next. */
export function forgetInterims(session) {
  for (const name of session.open.keys()) if (name.startsWith("p ")) session.open.delete(name);
}

/** Give an item that begins the latencies that came before it. */
export function measure(session, utterance, item) {
  const known = session.figures.get(utterance);
  if (known) item.metrics = known;
  session.figures.delete(utterance);
}

/** Somebody speaks in this session: a room that had emptied is in use again. */
export function begun(session) {
  session.spoke = true;
  if (session.name === null) session.ended = false;
}

/** Nothing of this session is going on any more, as far as anybody knows. */
export function settle(state, session) {
  session.agentSpeaking = session.userSpeaking = false;
  session.agentState = session.userState = null;
  forgetInterims(session);
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
