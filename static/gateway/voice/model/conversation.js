// What the voice page shows: the turns of the conversation, and what is being said right now. Pure.

const TURNS = 200;
const HISTORY = 40; // messages that are sent along, for a server that does not know the session
const HISTORY_CHARACTERS = 32_000; // far below GATEWAY_MAX_FRAME

/**
 * A turn: what the user said and the reply to it.
 *
 * `state`: waiting (not yet answered), replying, done, interrupted or failed. `speech`: "" (none), expected, ready, playing,
 * blocked (the browser wants a click first), played, stopped or failed.
 */
export class Turn {
  constructor(id, text, { state = "waiting", reply = "", spoken = false } = {}) {
    Object.assign(this, { id, text, state, reply, spoken, note: "", speech: "", voice: undefined });
  }

  get pending() {
    return this.state === "waiting" || this.state === "replying";
  }
}

/** `changed(turn)`: a turn is new or has changed; `drafted()`: what is being said has changed. */
export class Conversation {
  constructor({ changed = () => {}, drafted = () => {} } = {}) {
    Object.assign(this, { changed, drafted });
    this.turns = [];
    this.dropped = 0; // turns that are no longer shown
    this.utterances = []; // { utterance, text, final }, in the order in which they started
  }

  // -- what is being said ------------------------------------------------------------------------------------------------

  /** A transcript of `/ws/transcribe-stream`: an interim one replaces its predecessor, a final one stays. */
  hear({ type, text, utterance }) {
    const final = type === "final";
    let found = this.utterances.find((each) => each.utterance === utterance && !each.final);
    if (!found) {
      // An interim that comes after its final is late.
      if (!final && this.utterances.some((each) => each.utterance === utterance)) return;
      this.utterances.push((found = { utterance }));
    }
    Object.assign(found, { text, final });
    if (!text.trim()) this.utterances.splice(this.utterances.indexOf(found), 1);
    this.drafted();
  }

  /** Interims of a connection that was lost: their utterances will not be finished. */
  forgetInterims() {
    this.utterances = this.utterances.filter(({ final }) => final);
    this.drafted();
  }

  /** The final text of what was said; it is no longer a draft then. Interims are kept unless `all`. */
  takeFinal({ all = false } = {}) {
    const text = this.utterances.filter(({ final }) => final).map((each) => each.text.trim()).join(" ");
    this.utterances = all ? [] : this.utterances.filter(({ final }) => !final);
    this.drafted();
    return text;
  }

  // -- turns -------------------------------------------------------------------------------------------------------------

  turn(id) {
    return this.turns.findLast((turn) => turn.id === id);
  }

  /** The turns without a complete reply, the oldest first. */
  get pending() {
    return this.turns.filter((turn) => turn.pending);
  }

  /** Add a message of the user, `spoken` or typed. */
  ask(id, text, { spoken = false } = {}) {
    return this.#add(new Turn(id, text, { spoken }));
  }

  #add(turn) {
    this.turns.push(turn);
    if (this.turns.length > TURNS) {
      this.turns.shift();
      this.dropped += 1;
    }
    this.changed(turn);
    return turn;
  }

  /** `start`, `chunk` or `end` of `/ws/llm-stream`. Returns the turn, or undefined if it is not (or no longer) wanted. */
  take(frame) {
    const turn = this.turn(frame.request_id);
    if (!turn?.pending) return undefined;
    if (frame.type === "start") {
      // After a reconnect the reply is repeated from its beginning.
      Object.assign(turn, { state: "replying", reply: "", note: "" });
    } else if (frame.type === "chunk") {
      Object.assign(turn, { state: "replying", reply: turn.reply + frame.content });
    } else if (frame.type === "end") {
      Object.assign(turn, { state: frame.interrupted ? "interrupted" : "done", reply: frame.final_response, note: "" });
    }
    this.changed(turn);
    return turn;
  }

  /** Change fields of a turn. */
  update(turn, fields) {
    Object.assign(turn, fields);
    this.changed(turn);
  }

  clear() {
    [this.turns, this.utterances, this.dropped] = [[], [], 0];
    this.drafted();
  }

  // -- agreement with the server -----------------------------------------------------------------------------------------

  /** The messages so far, for a server that does not know the session; the newest ones, within limits. */
  history() {
    const messages = this.turns
      .filter((turn) => turn.reply && !turn.pending)
      .flatMap((turn) => [{ role: "user", content: turn.text }, { role: "assistant", content: turn.reply }]);
    const kept = [];
    let characters = 0;
    for (const message of messages.slice(-HISTORY).reverse()) {
      if ((characters += message.content.length) > HISTORY_CHARACTERS) break;
      kept.unshift(message);
    }
    return kept;
  }

  /**
   * Adopt `history` of the server's `state`: turns that this page does not have are added, in their order.
   *
   * Where the two disagree the page keeps its own: it shows what was said, the server may have forgotten.
   */
  adopt(history) {
    const theirs = turnsOf(history);
    const mine = this.turns.filter((turn) => turn.state !== "failed");
    const waits = mine.every((turn) => turn.pending);
    const same = ({ text }) => text === mine[0].text;
    let start = !mine.length ? 0 : waits ? theirs.findLastIndex(same) : theirs.findIndex(same);
    if (start < 0 && waits) start = theirs.length; // the server was not yet sent what waits
    if (start < 0) return;
    // Before the first of ours there may be older ones; between them there are none.
    const older = this.dropped ? [] : theirs.slice(0, start);
    const common = theirs.slice(start);
    if (!common.slice(0, mine.length).every(({ text }, n) => text === mine[n].text)) return;
    common.slice(0, mine.length).forEach(({ reply }, n) => {
      if (mine[n].state === "interrupted" && reply.length > mine[n].reply.length) this.update(mine[n], { reply });
    });
    const restored = ({ text, reply }) => new Turn(`restored-${(this.restored = (this.restored ?? 0) + 1)}`, text, { state: reply ? "done" : "interrupted", reply });
    for (const turn of older.map(restored).reverse()) {
      this.turns.unshift(turn);
      this.changed(turn);
    }
    for (const turn of common.slice(mine.length).map(restored)) this.#add(turn);
  }
}

/** Messages as turns; consecutive messages of one side are joined. */
function turnsOf(history) {
  const turns = [];
  for (const { role, content } of history) {
    if (role === "user") turns.push({ text: content, reply: "" });
    else if (role === "assistant" && turns.length) turns.at(-1).reply += (turns.at(-1).reply && "\n") + content;
    else if (role === "assistant") turns.push({ text: "", reply: content });
  }
  return turns;
}
