// What the agent says: text as the LLM writes it, the part of it that is audible, and what was really said. Pure.

import { begun, measure, remember } from "./session.js";
import { count, stamp } from "./utterances.js";

const isText = (value) => typeof value === "string";

const LONG = /[\ud800-\udbff][\udc00-\udfff]/;
const head = (text, size) => (LONG.test(text) ? [...text].slice(0, size).join("") : text.slice(0, size));

/** The item of the agent's utterance; it begins here if it is new. */
function reply(state, session, event, utterance) {
  let item = session.items.get(utterance.number);
  if (!item) {
    const { agent } = session;
    item = state.addSaid(session, event, utterance, { role: "agent", agent, participant: null, generated: "", length: 0, lost: 0, said: null, reply: utterance });
    if (session.agentSpeaking && session.speaking === utterance.number) item.speaking = true;
    if (utterance.started) item.heard = utterance.began;
    remember(session.items, utterance.number, item);
    if (utterance.name !== null) measure(session, utterance, item);
  }
  item.participant ??= event.participant ?? null;
  begun(session);
  state.touch(item);
  return item;
}

/** Add `text`, which begins after `offset` characters: after, over or beyond the text so far. */
function put(item, text, offset) {
  const end = offset + count(text);
  const overlaps = offset < item.length;
  if (item.length === 0 && offset > 0) {
    item.generated = "…"; // its beginning is not on this page
    item.torn = true;
  } else if (offset > item.length) {
    item.lost += offset - item.length;
    item.generated += "…"; // a delta is missing here
    item.torn = true;
  } else if (overlaps && !item.torn) {
    item.generated = head(item.generated, offset);
  } else if (overlaps) {
    text = [...text].slice(item.length - offset).join(""); // only what is not there yet
  }
  item.generated += text;
  item.length = overlaps && item.torn ? Math.max(end, item.length) : end;
}

export const Agent = {
  delta(state, session, event, utterance) {
    const item = reply(state, session, event, utterance);
    if (item.never) return; // it comes late: all of the text is known
    const text = isText(event.delta) ? event.delta : "";
    const offset = Number.isInteger(event.offset) && event.offset >= 0 ? event.offset : null;
    item.generating = item.said === null && !item.interrupted; // a delta may come late
    if (item.length >= state.limits.text) item.short = true;
    else put(item, text, offset ?? item.length);
  },

  complete(state, session, event, utterance) {
    const item = reply(state, session, event, utterance);
    const text = isText(event.text) ? event.text : null;
    item.generated = head(text ?? item.generated, state.limits.text);
    item.short = text !== null && text.length > state.limits.text;
    item.length = count(item.generated);
    item.lost = 0;
    item.torn = false;
    item.generating = false;
  },

  speechStarted(state, session, event, utterance) {
    session.agentSpeaking = true;
    session.speaking = utterance.number;
    const item = session.items.get(utterance.number);
    if (!item) return;
    item.heard ??= stamp(event);
    if (item.said === null) item.speaking = true;
    state.stand(item, utterance.began);
    state.touch(item);
  },

  speechFinished(state, session, event, utterance) {
    session.agentSpeaking = false;
    session.speaking = 0;
    const item = session.items.get(utterance.number);
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
  said(state, session, event, utterance) {
    const item = reply(state, session, event, utterance);
    const text = isText(event.text) ? event.text : "";
    item.said = text;
    item.interim = event.final === false;
    if (item.interim) return;
    item.generating = false;
    if (event.interrupted === true) item.interrupted = true;
    if (!text && !item.generated) state.remove(item);
  },

  /** What was written was never said. */
  unsaid(state, session, event, utterance) {
    const written = isText(event.generated) ? event.generated : "";
    begun(session);
    if (!written && !session.items.has(utterance.number)) return;
    const item = reply(state, session, event, utterance);
    if (written) item.generated = head(written, state.limits.text);
    item.never = true;
    item.generating = item.speaking = false;
  },
};

/** The speaker of an item: the agent's own name rather than the identity of its participant. */
export function speaker(item) {
  if (item.agent) return String(item.agent);
  const { participant, voice } = item;
  return String(participant && voice ? `${participant} (${voice})` : (participant ?? voice ?? item.role ?? "user"));
}

/** Whether the agent wrote this and it was not heard. */
export const unsaid = (item) => item.reply?.unsaid === true;

/**
 * The parts of an agent's item: `spoken`, and `rest`, which was written and not (or not yet) said. `interrupted` and
 * `unsaid(item)` say whether `rest` was cut off, was never said, or is still to come.
 */
export function parts(item) {
  const { reply } = item;
  if (reply && !reply.heard) return { spoken: "", rest: item.generated || item.said || "" };
  if (item.said === null || item.said === undefined) return { spoken: item.generated ?? "", rest: "" };
  if (!item.interrupted && !item.interim) return { spoken: item.said, rest: "" };
  return { spoken: item.said, rest: after(item.generated, item.said) };
}

// What follows `said` in `generated`, regardless of white space; "" if `generated` does not begin with it.
function after(generated, said) {
  const spoken = said.replace(/(…|\.\.\.|[—-])\s*$/, ""); // some synchronizers mark the cut
  let at = 0;
  for (const character of spoken) {
    if (/\s/.test(character)) continue;
    while (at < generated.length && /\s/.test(generated[at])) at += 1;
    if (!generated.startsWith(character, at)) return "";
    at += character.length;
  }
  return generated.slice(at);
}

const PACE = 15; // characters a second of speech; event_hub/sessions/captions.py estimates with the same
const WIDE = /[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\u{20000}-\u{3ffff}]/u;
const SLOW = 3; // a character of these scripts takes as long as this many others

/**
 * What a caption shows of an item: the words that may have been heard. `elapsed`: seconds since the page saw its speech
 * start. The voice lags behind the text: until the final transcript, no more is shown than is said at an ordinary pace.
 */
export function audible(item, elapsed) {
  if (item.role !== "agent") return item.text ?? "";
  const { spoken } = parts(item);
  const { reply } = item;
  if (!reply || reply.said || item.said !== null || !reply.started) return spoken;
  if (reply.stopped && !item.interrupted) return spoken;
  const since = Number.isFinite(item.heard) && Number.isFinite(item.session?.at) ? item.session.at - item.heard : 0;
  return paced(spoken, reply.stopped ? (item.position ?? elapsed) : Math.max(elapsed, since));
}

/** The words of `text` that are said in `seconds`, including the one in progress. */
function paced(text, seconds) {
  let left = Math.max(0, seconds) * PACE + 1;
  let end = 0;
  for (const character of text) {
    if (left <= 0 && (/\s/.test(character) || WIDE.test(character))) break;
    left -= WIDE.test(character) ? SLOW : 1;
    end += character.length;
  }
  return text.slice(0, end).trimEnd();
}
