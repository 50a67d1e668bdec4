// Which utterance each event of a session belongs to, whose it is, and whether it was heard. Pure. The twin of
// event_hub/sessions/utterances.py, which explains the rules; both are tested on tests/utterances.json.

const REMEMBERED = 16; // utterances of each side that later events can refer to
const NEAR = 15; // seconds after which words or speech no longer continue what came before
const WORDS = 200; // characters of an interim that are compared with later words
const LATEST = 1e12; // timestamps from here on are not epoch seconds

// Characters are counted in code points, as publishers count them, not in UTF-16 code units.
const LONG = /[\ud800-\udbff][\udc00-\udfff]/;
export const count = (text) => (LONG.test(text) ? [...text].length : text.length);

const name = (value) => (typeof value === "string" && value ? value : null);
const text = (value) => (typeof value === "string" ? value : "");
const seconds = (value) => (Number.isFinite(value) && value >= 0 && value < LATEST ? value : null);
export const stamp = (event) => seconds(event.timestamp);

const near = (earlier, later) => earlier === null || later === null || later - earlier <= NEAR;
const letters = (words) => (words.match(/[\p{L}\p{N}]/gu) ?? []).join("").toLowerCase();
const partOf = (interim, words) => letters(interim) !== "" && letters(words.slice(0, 2 * WORDS)).startsWith(letters(interim));
const alike = (interim, words) => {
  const [one, other] = [letters(interim), letters(words.slice(0, 2 * WORDS))];
  return one !== "" && other !== "" && (one.startsWith(other) || other.startsWith(one));
};

function remember(map, key, value) {
  map.set(key, value);
  if (map.size > REMEMBERED) map.delete(map.keys().next().value);
}

/** Keep `value` under `key`, with at most `most` others. */
export function keep(map, key, value, most) {
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value);
}

class UserUtterance {
  constructor(number, label, began, speaker) {
    Object.assign(this, { number, name: label, began, speaker, stretch: null, finals: 0, open: true, absorbed: false, words: "", newest: null });
    this.role = "user";
  }

  get heard() {
    return true;
  }
}

class AgentUtterance {
  #session;

  constructor(number, label, began, session) {
    Object.assign(this, { number, name: label, began, finals: 0, length: 0, whole: false, started: false, stopped: false });
    // silent: its speech ended without a start, or its session did; denied: it was interrupted before it was heard;
    // never: an event says that it was never said; read: it
    // was written in a session without speech of the agent.
    Object.assign(this, { silent: false, denied: false, never: false, read: false });
    this.role = "agent";
    this.#session = session;
  }

  get said() {
    return this.finals > 0;
  }

  get unsaid() {
    return this.denied || this.never || (this.silent && !this.said);
  }

  get heard() {
    return !this.unsaid && (this.said || this.started || this.read || !this.#session.audible);
  }
}

const resolution = (utterance, found = {}) => ({ utterance, opens: false, closes: false, drops: false, settled: [], ...found });

/** The utterances of one session; `take` gets its events in order. */
export class Utterances {
  #count = 0;

  constructor() {
    this.audible = false; // the agent speaks in this session, rather than writes
    this.spoken = false; // the user speaks in this session
    this.reset();
  }

  /** From now on, names of utterances mean new utterances. */
  reset() {
    this.users = new Map();
    this.open = new Map();
    this.nameless = new Map(); // speaker → the nameless utterance in progress
    this.earlier = new Map(); // speaker → an utterance that may continue although more speech has started
    this.stretches = new Map(); // speaker → the newest stretch of speech, and the one before it
    this.replies = new Map();
    this.reply = null; // the agent's newest
    this.pending = new Map(); // replies that are neither heard nor said so far
  }

  /** The event's utterance, `{utterance, opens, closes, drops, settled: [{utterance, fate}]}`; null if it has none. */
  take(event) {
    return HANDLERS[event.type]?.call(this, event) ?? null;
  }

  /** The utterance with this name, while it is remembered. */
  find(label) {
    return this.users.get(label) ?? this.replies.get(label) ?? null;
  }

  /** The session is over: open utterances become unconfirmed, or unsaid. */
  settle() {
    const settled = [];
    for (const utterance of this.open.values()) {
      utterance.open = false;
      settled.push({ utterance, fate: "unconfirmed" });
    }
    this.open.clear();
    for (const reply of this.pending.values()) settled.push(...this.#giveUp(reply));
    this.pending.clear();
    return settled;
  }

  #giveUp(reply) {
    reply.read = !this.audible;
    if (reply.heard || reply.denied || reply.never) return [];
    reply.silent = true;
    return [{ utterance: reply, fate: "unsaid" }];
  }

  // -- the user ---------------------------------------------------------------------------------------------------------

  userStarted(event) {
    const speaker = name(event.participant) ?? "";
    const stretches = (this.stretches.get(speaker) ?? []).slice(-1);
    this.spoken = true;
    stretches.push({ started: stamp(event), stopped: null, worded: false, answered: false });
    this.stretches.delete(speaker);
    remember(this.stretches, speaker, stretches);
    for (const other of speaker ? [speaker] : [...this.nameless.keys()]) {
      const utterance = this.nameless.get(other);
      this.nameless.delete(other);
      if (utterance) remember(this.earlier, other, utterance);
    }
    return null;
  }

  userFinished(event) {
    const speaker = name(event.participant) ?? "";
    const stretches = this.stretches.get(speaker) ?? this.stretches.get("") ?? (speaker ? null : this.#newestOf());
    const newest = stretches?.at(-1);
    if (newest && newest.stopped === null) newest.stopped = stamp(event);
    return null;
  }

  transcript(event) {
    const label = name(event.utterance);
    if (event.role === "agent" || this.replies.has(label)) return this.#said(event);
    const words = text(event.text);
    const final = event.final !== false;
    const at = stamp(event);
    const speaker = name(event.participant) ?? name(event.role) ?? "";
    const known = label ? this.users.get(label) : this.#continued(speaker, words, at);
    if (!words) {
      if (!known || !final || known.finals) return null; // nothing was understood, or its words are known already
      this.#drop(known);
      return resolution(known, { closes: true, drops: true });
    }
    if (known?.finals && !final) return null;
    const utterance = known ?? this.#begin(event, label, speaker, final, at);
    const opens = !known || known.absorbed;
    const evicted = known ? [] : this.#evicted();
    const given = seconds(event.began);
    if (given !== null) utterance.began = at === null ? given : Math.min(given, at);
    if (!opens && (utterance.stretch === null || !final)) utterance.stretch = this.#stretch(event, speaker, final, at, utterance.stretch);
    if (utterance.stretch !== null) utterance.stretch.worded = true;
    Object.assign(utterance, { absorbed: false, newest: at, words: words.slice(0, WORDS) });
    if (!final) {
      utterance.open = true;
      this.open.set(utterance.number, utterance);
      return resolution(utterance, { opens, settled: evicted });
    }
    utterance.finals += 1;
    utterance.open = false;
    this.open.delete(utterance.number);
    if (label === null) {
      this.nameless.delete(speaker);
      this.earlier.delete(speaker);
    }
    return resolution(utterance, { opens, closes: true, settled: [...evicted, ...this.#confirm(utterance, words)] });
  }

  // The nameless utterance that these words continue.
  #continued(speaker, words, at) {
    const known = this.nameless.get(speaker);
    if (known || !words) return known;
    const earlier = this.earlier.get(speaker);
    if (!earlier?.open || !near(earlier.newest, at) || !alike(earlier.words, words)) return undefined;
    this.earlier.delete(speaker);
    this.nameless.set(speaker, earlier);
    return earlier;
  }

  #begin(event, label, speaker, final, at) {
    const stretch = this.#stretch(event, speaker, final, at);
    const utterance = new UserUtterance(++this.#count, label, stretch !== null && !stretch.worded ? stretch.started : at, speaker);
    utterance.stretch = stretch;
    if (label !== null) remember(this.users, label, utterance);
    else if (!final) remember(this.nameless, speaker, utterance);
    return utterance;
  }

  #evicted() {
    if (this.open.size < REMEMBERED) return [];
    const [oldest] = this.open.values();
    this.open.delete(oldest.number);
    oldest.open = false;
    return [{ utterance: oldest, fate: "unconfirmed" }];
  }

  // The final of `utterance` closes what the same speaker left open before.
  #confirm(utterance, words) {
    const settled = [];
    for (const other of [...this.open.values()]) {
      if (other.speaker !== utterance.speaker || other.number > utterance.number) continue;
      this.open.delete(other.number);
      other.open = false;
      other.absorbed = near(other.newest, utterance.newest) && partOf(other.words, words);
      settled.push({ utterance: other, fate: other.absorbed ? "absorbed" : "unconfirmed" });
    }
    return settled;
  }

  #drop(utterance) {
    utterance.open = false;
    this.open.delete(utterance.number);
    if (utterance.name !== null) this.users.delete(utterance.name);
    else if (this.nameless.get(utterance.speaker) === utterance) this.nameless.delete(utterance.speaker);
  }

  #newestOf() {
    return [...this.stretches.values()].at(-1) ?? null;
  }

  // The stretch of speech that an utterance belongs to: `known`, unless its speaker has started again.
  #stretch(event, speaker, final, at, known = null) {
    const anyone = speaker === "" || speaker === "user";
    const stretches = this.stretches.get(speaker) ?? this.stretches.get("") ?? (anyone ? this.#newestOf() : null);
    if (!stretches?.length) return known;
    const newest = stretches.at(-1);
    const [before] = stretches;
    if (known !== null) return newest.stopped === null && !newest.worded ? newest : known;
    const began = seconds(event.began);
    let chosen = newest;
    // LiveKit backdates an item to about the start of its speech.
    if (began !== null) chosen = newest.started === null || newest.started <= began + 1 ? newest : before;
    // A realtime model's late transcript: the agent has answered already, and the user speaks again.
    else if (final && newest.stopped === null && before.answered && !before.worded) chosen = before;
    if (chosen.stopped === null) return chosen;
    const part = !chosen.worded || (final && !chosen.answered);
    return part && near(chosen.stopped, at) ? chosen : null;
  }

  // -- the agent --------------------------------------------------------------------------------------------------------

  #openReply(label, at) {
    if (!this.audible && !this.spoken) {
      for (const before of this.pending.values()) before.read = true;
      this.pending.clear();
    }
    this.reply = new AgentUtterance(++this.#count, label, at, this);
    this.pending.set(this.reply.number, this.reply);
    if (label !== null) remember(this.replies, label, this.reply);
    return this.reply;
  }

  // The agent speaks or writes: it answers the speech that is over.
  #answer() {
    for (const stretch of [...this.stretches.values()].flat()) stretch.answered ||= stretch.stopped !== null;
  }

  #overdue(opens) {
    if (!opens || this.pending.size <= REMEMBERED) return [];
    const [oldest] = this.pending.values();
    this.pending.delete(oldest.number);
    return this.#giveUp(oldest);
  }

  // The reply that the event is about, and whether it is new.
  #ofReply(event, fits) {
    const label = name(event.utterance);
    const known = label !== null ? this.replies.get(label) : this.reply && fits(this.reply) ? this.reply : null;
    return known ? [known, false] : [this.#openReply(label, stamp(event)), true];
  }

  delta(event) {
    const offset = Number.isInteger(event.offset) && event.offset >= 0 ? event.offset : null;
    const fits = (reply) => {
      if (reply.length && offset === reply.length) return true;
      return !(reply.said || reply.whole || reply.stopped) && (offset !== 0 || reply.length === 0);
    };
    const [reply, opens] = this.#ofReply(event, fits);
    reply.length = (offset ?? reply.length) + count(text(event.delta));
    return resolution(reply, { opens, settled: this.#overdue(opens) });
  }

  complete(event) {
    const [reply, opens] = this.#ofReply(event, (one) => !one.whole && (one.length > 0 || !one.said));
    reply.whole = true;
    reply.length = count(text(event.text));
    return resolution(reply, { opens, settled: this.#overdue(opens) });
  }

  agentStarted(event) {
    const [reply, opens] = this.#ofReply(event, (one) => !(one.said || one.started || one.stopped));
    this.audible = true;
    if (!reply.started) {
      this.#answer();
      reply.started = true;
      reply.silent = false;
      reply.began = stamp(event) ?? reply.began;
      this.pending.delete(reply.number);
    }
    return resolution(reply, { opens });
  }

  agentFinished(event) {
    this.audible = true;
    const label = name(event.utterance);
    const reply = label !== null ? this.replies.get(label) : this.reply;
    if (!reply) return null;
    const position = seconds(event.position);
    reply.stopped = true;
    if (event.interrupted === true && position === 0) {
      reply.denied = true;
      this.pending.delete(reply.number);
    } else if (!reply.started) {
      reply.silent = !position;
      reply.started = !reply.silent;
    }
    return resolution(reply, { closes: true });
  }

  #said(event) {
    const [reply, opens] = this.#ofReply(event, (one) => !one.said);
    if (event.final === false) return reply.said ? null : resolution(reply, { opens, settled: this.#overdue(opens) });
    if (!reply.said) this.#answer();
    reply.finals += 1;
    this.pending.delete(reply.number);
    return resolution(reply, { opens, closes: true });
  }

  unsaid(event) {
    const [reply, opens] = this.#ofReply(event, (one) => !one.said);
    reply.never = true;
    this.pending.delete(reply.number);
    return resolution(reply, { opens, closes: true, settled: [{ utterance: reply, fate: "unsaid" }] });
  }

  // It was not speech, and the agent continues: it was not cut off.
  falseInterruption(event) {
    for (const [speaker, stretches] of this.stretches) {
      const worded = stretches.filter((stretch) => stretch.worded);
      if (worded.length) this.stretches.set(speaker, worded);
      else this.stretches.delete(speaker);
    }
    const reply = this.replies.get(name(event.utterance)) ?? this.reply;
    if (!reply) return null;
    if (event.resumed === true) reply.denied = reply.silent = false;
    return resolution(reply);
  }
}

const HANDLERS = {
  __proto__: null, // a type can be any text, such as "constructor"
  transcript: Utterances.prototype.transcript,
  user_speech_started: Utterances.prototype.userStarted,
  user_speech_finished: Utterances.prototype.userFinished,
  agent_text_delta: Utterances.prototype.delta,
  agent_text_complete: Utterances.prototype.complete,
  agent_text_unsaid: Utterances.prototype.unsaid,
  agent_speech_started: Utterances.prototype.agentStarted,
  agent_speech_finished: Utterances.prototype.agentFinished,
  agent_false_interruption: Utterances.prototype.falseInterruption,
};
