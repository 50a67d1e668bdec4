// The conversation: what was said, what is being said, and the replies as they grow.

import { Follow, button, byId, el, text } from "../../../views/dom.js";
import { replyMark } from "../words/sentences.js";

export class ConversationView {
  /** `play(turn)`, `stop()`, `again(turn)`: the buttons beside a reply. */
  constructor(conversation, { play, stop, again }) {
    Object.assign(this, { conversation, play, stop, again });
    this.list = byId("conversation");
    this.shown = new Map(); // turn → its elements
    this.draft = el("li", "said user draft", el("b", "who", "You"), el("p", "text"));
    this.drafted = new Map(); // utterance → its element
    this.follow = new Follow(byId("conversation-scroll"), byId("to-newest"));
    this.empty = byId("welcome");
  }

  /** Show a turn that is new or has changed. */
  turn(turn) {
    if (!this.shown.has(turn)) this.#add(turn);
    const { reply, replyText, mark, note, actions } = this.shown.get(turn);
    grow(replyText, turn.reply);
    reply.dataset.state = turn.state;
    reply.dataset.speech = turn.speech;
    text(mark, replyMark(turn));
    text(note, turn.note);
    note.hidden = !turn.note;
    note.classList.toggle("bad", turn.state === "failed" || turn.speech === "failed");
    this.#actions(turn, actions);
    this.follow.keep();
  }

  #add(turn) {
    const replyText = el("p", "text");
    const mark = el("span", "mark");
    const note = el("p", "note");
    const actions = el("span", "actions");
    const reply = el("li", "said agent", el("b", "who", "Agent"), replyText, mark, actions, note);
    const said = turn.text ? el("li", "said user", el("b", "who", "You"), el("p", "text", el("span", "final", turn.text))) : "";
    this.shown.set(turn, { said, reply, replyText, mark, note, actions });
    const next = this.conversation.turns[this.conversation.turns.indexOf(turn) + 1];
    const before = this.shown.get(next)?.said || (this.draft.isConnected ? this.draft : null);
    for (const element of [said, reply]) if (element) this.list.insertBefore(element, before);
    this.#prune();
  }

  // Turns that the model has dropped.
  #prune() {
    const { turns, dropped } = this.conversation;
    this.empty.hidden = turns.length > 0 || this.draft.isConnected;
    if (this.shown.size <= turns.length) return;
    const kept = new Set(turns);
    for (const [turn, { said, reply }] of this.shown) {
      if (kept.has(turn)) continue;
      if (said) said.remove();
      reply.remove();
      this.shown.delete(turn);
    }
    byId("earlier").hidden = !dropped;
    text(byId("earlier"), `${dropped} earlier ${dropped === 1 ? "exchange is" : "exchanges are"} no longer shown.`);
  }

  /** Remove everything, for a new conversation. */
  clear() {
    for (const { said, reply } of this.shown.values()) {
      if (said) said.remove();
      reply.remove();
    }
    this.shown.clear();
    byId("earlier").hidden = true;
    this.empty.hidden = false;
  }

  #actions(turn, place) {
    const offer = {
      blocked: () => button("Play", () => this.play(turn)),
      ready: () => button("Play", () => this.play(turn)),
      played: () => button("Play again", () => this.play(turn)),
      stopped: () => button("Play again", () => this.play(turn)),
      playing: () => button("Stop", () => this.stop()),
      expected: () => el("span", "aside", "speech is on its way …"),
    }[turn.speech];
    const wanted = turn.state === "failed" ? "failed" : turn.speech;
    if (place.dataset.shown === wanted) return;
    const focused = place.contains(document.activeElement);
    place.dataset.shown = wanted;
    place.replaceChildren(turn.state === "failed" ? button("Try again", () => this.again(turn)) : offer?.() ?? "");
    if (focused) place.querySelector("button")?.focus();
  }

  /** Show what is being said. */
  drafts() {
    const { utterances } = this.conversation;
    const place = this.draft.lastElementChild;
    for (const [utterance, element] of this.drafted) {
      if (utterances.includes(utterance)) continue;
      element.remove();
      this.drafted.delete(utterance);
    }
    for (const utterance of utterances) {
      if (!this.drafted.has(utterance)) {
        const element = el("span", "", el("span", "words"), el("small"));
        this.drafted.set(utterance, element);
        place.append(element);
      }
      const element = this.drafted.get(utterance);
      element.className = utterance.final ? "final" : "interim";
      text(element.firstElementChild, utterance.text);
      // The state in a word, for those who do not see or tell apart the colours.
      text(element.lastElementChild, utterance.final ? "final" : "interim");
    }
    if (!utterances.length) this.draft.remove();
    else if (!this.draft.isConnected) this.list.append(this.draft);
    this.#prune();
    this.follow.keep();
  }
}

/** Set text that mostly grows: what is there already stays, and with it the reader's selection. */
function grow(element, value) {
  const node = element.firstChild;
  if (node && node.nodeType === Node.TEXT_NODE && value.startsWith(node.data)) {
    if (value.length > node.length) node.appendData(value.slice(node.length));
  } else text(element, value);
}
