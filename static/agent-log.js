// The end of an agent's log: the last lines that its program has written, followed while it is looked at.

import { refusal } from "./agent-words.js";
import { button, copy, el, Follow, text } from "./dom.js";
import { ask } from "./source.js";

const LINES = 200;
const AGAIN = 1000; // ms between two looks

export class AgentLog {
  #timer = 0;
  #looks = 0;

  /** `going()`: whether there may be more lines soon, and somebody who looks. */
  constructor(hub, id, going) {
    this.address = `${hub}/api/agent/logs?${new URLSearchParams({ agent_id: id, lines: LINES })}`;
    this.going = going;
    this.pre = el("pre", "scroll");
    this.pre.tabIndex = 0;
    this.pre.setAttribute("role", "region");
    this.pre.setAttribute("aria-label", `Log of ${id}`);
    const newest = button("↓ Newest", () => {});
    newest.className = "float";
    newest.hidden = true;
    const take = button("Copy", () => copy(this.pre.textContent, "The log is"));
    this.word = el("span", "word", "loading");
    this.element = el("div", "agent-log", el("div", "log-tools", this.word, take), el("div", "stage", this.pre, newest));
    this.follow = new Follow(this.pre, newest);
    this.closed = false;
    this.look();
  }

  close() {
    this.closed = true;
    clearTimeout(this.#timer);
    this.element.remove();
  }

  async look() {
    clearTimeout(this.#timer);
    const look = (this.#looks += 1);
    const going = this.going(); // before: what is written last is fetched, too
    try {
      const { lines } = await ask(this.address, { headers: { Accept: "application/json" } });
      if (look !== this.#looks) return; // a later one has more
      text(this.pre, lines.join("\n"));
      text(this.word, lines.length ? (lines.length < LINES ? "" : `the last ${LINES} lines`) : "nothing was written yet");
      this.follow.keep();
    } catch (error) {
      text(this.word, refusal(error));
    }
    if (going && !this.closed && look === this.#looks) this.#timer = setTimeout(() => this.look(), AGAIN);
  }
}
