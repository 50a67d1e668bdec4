// The state of each connection, in plain words, and what to do about it.

import { byId, el, text } from "../../../views/dom.js";
import { connectionWords } from "../words/sentences.js";

const NAMES = { transcription: "Transcription", replies: "Replies", recording: "Recording" };

export class ConnectionsView {
  constructor() {
    this.rows = {};
    this.trouble = byId("trouble");
    for (const [name, title] of Object.entries(NAMES)) {
      const word = el("dd", "word");
      const term = el("dt", "", el("i", "dot"), title);
      this.rows[name] = { term, word, state: "closed", detail: {} };
      byId("connection-list").append(el("div", "", term, word));
    }
    this.render();
  }

  /** `state` and `detail` of a ReconnectingSocket. */
  set(name, state, detail = {}) {
    Object.assign(this.rows[name], { state, detail });
    this.render();
  }

  render() {
    let waits = false;
    const troubles = [];
    for (const [name, { term, word, state, detail }] of Object.entries(this.rows)) {
      const words = connectionWords(state, detail, Date.now());
      const refused = words.word === "refused";
      term.parentElement.dataset.state = refused ? "refused" : state;
      text(word, words.word);
      waits ||= state === "reconnecting";
      if (refused || state === "reconnecting") troubles.push(`${NAMES[name]}: ${words.word}.${words.sentence && ` ${words.sentence}`}`);
    }
    text(this.trouble, troubles.join(" "));
    this.trouble.hidden = !troubles.length;
    // Seconds are counted down only while there are any.
    if (waits && !this.timer) this.timer = setInterval(() => this.render(), 500);
    if (!waits) this.timer = clearInterval(this.timer);
  }

  close() {
    this.timer = clearInterval(this.timer);
  }
}
