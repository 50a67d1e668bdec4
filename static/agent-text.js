// What the agent says: text as the LLM streams it, what of it is audible, and what was really said. Pure.

import { begun, measure, remember } from "./session.js";

const isText = (value) => typeof value === "string";

// `offset` counts characters as the publisher does (code points), not the halves of which JavaScript's strings consist.
const LONG = /[\ud800-\udbff][\udc00-\udfff]/;
const count = (text) => (LONG.test(text) ? [...text].length : text.length);
const head = (text, size) => (LONG.test(text) ? [...text].slice(0, size).join("") : text.slice(0, size));

/** The agent's item that `event` is about: that of its utterance, else the newest one if `fits` it, else a new one. */
function reply(state, session, event, fits) {
  const utterance = isText(event.utterance) ? event.utterance : null;
  let item = utterance !== null ? session.replies.get(utterance) : fits(session.reply) ? session.reply : null;
  if (!item) {
    const { agent } = session;
    item = state.add(session, "said", event, { role: "agent", agent, participant: null, generated: "", length: 0, lost: 0, said: null });
    if (session.agentSpeaking && session.speakingUtterance === utterance) item.speaking = true;
    if (utterance !== null) {
      remember(session.replies, utterance, item);
      measure(session, utterance, item);
    }
    session.reply = item;
  }
  item.participant ??= event.participant ?? null;
  begun(session);
  state.touch(item);
  return item;
}

const open = (item) => item !== null && item.said === null;

/** Add `text`, which begins after `offset` characters: after, over or beyond what there is. */
function put(item, text, offset) {
  const size = count(text);
  if (item.length === 0 && offset > 0) item.generated = "…"; // it began before anybody looked
  else if (offset > item.length) {
    item.lost += offset - item.length;
    item.generated += "…"; // a delta is missing here
  } else if (offset < item.length && !item.generated.includes("…")) {
    item.generated = head(item.generated, offset);
  } else if (offset < item.length) {
    text = [...text].slice(item.length - offset).join(""); // what is known of it, is there
  }
  item.generated += text;
  item.length = Math.max(offset + size, offset < item.length ? 0 : item.length);
}

export const Agent = {
  delta(state, session, event) {
    const text = isText(event.delta) ? event.delta : "";
    const offset = Number.isInteger(event.offset) && event.offset >= 0 ? event.offset : null;
    const next = (one) => (open(one) && one.generating && offset !== 0) || (one !== null && offset > 0 && one.length === offset);
    const item = reply(state, session, event, next);
    item.generating = item.said === null && !item.interrupted; // a delta may come late
    if (item.length >= state.limits.text) item.short = true;
    else put(item, text, offset ?? item.length);
  },

  complete(state, session, event) {
    const text = isText(event.text) ? event.text : null;
    const same = (one) => (open(one) && one.generating) || Boolean(one?.generated && text?.startsWith(one.generated.trimEnd()));
    const item = reply(state, session, event, same);
    item.generated = head(text ?? item.generated, state.limits.text);
    item.short = text !== null && text.length > state.limits.text;
    item.length = count(item.generated);
    item.lost = 0;
    item.generating = false;
  },

  speechStarted(state, session, event) {
    session.agentSpeaking = true;
    session.speakingUtterance = isText(event.utterance) ? event.utterance : null;
    const item = session.speakingUtterance === null ? session.reply : session.replies.get(session.speakingUtterance);
    if (!item || item.said !== null) return;
    item.speaking = true;
    state.touch(item);
  },

  speechFinished(state, session, event) {
    session.agentSpeaking = false;
    const item = isText(event.utterance) ? session.replies.get(event.utterance) : session.reply;
    if (!item) return;
    item.speaking = false;
    if (event.interrupted === true) {
      item.interrupted = true;
      item.generating = false;
    }
    if (Number.isFinite(event.position)) item.position = event.position;
    state.touch(item);
  },

  /** A transcript of the agent: what was really said. */
  said(state, session, event) {
    const text = isText(event.text) ? event.text : "";
    const item = reply(state, session, event, (one) => open(one) || (one !== null && one.interim === true));
    item.said = text;
    item.interim = event.final === false;
    if (item.interim) return;
    item.generating = false;
    if (event.interrupted === true) item.interrupted = true;
    if (!text && !item.generated) state.remove(item);
  },
};

/** Whose words an item is: the agent's own name rather than what LiveKit calls its participant. */
export const speaker = (item) => String(item.agent ?? item.participant ?? item.role ?? "somebody");

/**
 * The parts of an agent's item: `spoken`, and `rest`, which was generated and is not (or not yet) said. Whether `rest`
 * was cut off or is still to come, the item's `interrupted` says.
 */
export function parts(item) {
  if (item.said === null || item.said === undefined) {
    const unheard = item.interrupted && !(item.position > 0); // cut off before it could be heard
    return unheard ? { spoken: "", rest: item.generated ?? "" } : { spoken: item.generated ?? "", rest: "" };
  }
  if (!item.interrupted && !item.interim) return { spoken: item.said, rest: "" };
  return { spoken: item.said, rest: after(item.generated, item.said) };
}

// What follows `said` in `generated`, whatever spaces lie between the words; "" where it is not its beginning.
function after(generated, said) {
  const spoken = said.replace(/(…|\.\.\.|[—-])\s*$/, ""); // some synchronizers mark the cut themselves
  let at = 0;
  for (const character of spoken) {
    if (/\s/.test(character)) continue;
    while (at < generated.length && /\s/.test(generated[at])) at += 1;
    if (!generated.startsWith(character, at)) return "";
    at += character.length;
  }
  return generated.slice(at);
}
