// The turns of a session, oldest first: what was said, and what each answer waited for.

import { button, el } from "../views/dom.js";
import { clock, duration, plural } from "../words/format.js";
import { explain, parts } from "../words/sessions.js";
import { slowness } from "../words/trends.js";
import { extent, offset } from "../model/timeline.js";

const BEFORE = 0.2; // s that are heard before a side speaks: its events come up to 0.1 s late

export class TurnList {
  #items = new Map(); // turn number → {element, drawn}
  #chosen = null;
  #now = null; // number of the turn that is heard
  #side = "";

  /** `choose(turn)`: a turn was clicked; `play(at)`: what was said at a time, epoch seconds. */
  constructor({ choose, play }) {
    Object.assign(this, { choose, play });
    this.element = el("ol", "turns");
    this.element.setAttribute("role", "list");
    this.element.ariaLabel = "Turns, oldest first";
  }

  clear() {
    this.#items.clear();
    this.#chosen = this.#now = null;
    this.element.replaceChildren();
  }

  /** Draw what has changed of a session document. */
  draw({ turns, started }, slow) {
    const longest = Math.max(0.001, ...turns.map((turn) => parts(turn).reduce((sum, { seconds }) => sum + seconds, 0)));
    if (!this.#items.size) this.element.replaceChildren(...(turns.length ? [] : [el("li", "aside", "No turns yet.")]));
    for (const turn of turns) {
      const drawn = JSON.stringify([turn, Math.round(longest * 10)]);
      const known = this.#items.get(turn.number);
      if (known?.drawn === drawn) continue;
      const made = this.#row(turn, longest, started, slow);
      if (known) known.element.replaceWith(made);
      else this.element.append(made);
      made.classList.toggle("chosen", this.#chosen === turn.number);
      this.#items.set(turn.number, { element: made, drawn });
    }
    this.#settle();
  }

  /** Mark the turn that is chosen. `bring`: into view; `focus`: with the keyboard. */
  mark(turn, { bring = false, focus = false } = {}) {
    this.#items.get(this.#chosen)?.element.classList.remove("chosen");
    this.#chosen = turn?.number ?? null;
    const item = this.#items.get(this.#chosen)?.element;
    item?.classList.add("chosen");
    this.#settle();
    if (bring) item?.scrollIntoView({ block: "center" });
    if (!focus) return;
    item?.scrollIntoView({ block: "nearest" });
    item?.querySelector(".number").focus({ preventScroll: true });
  }

  /** Mark what is heard at a time: a turn and its side. `follow`: keep it in view. */
  heard(turn, at, follow) {
    const side = turn && at >= (turn.agent?.started ?? Infinity) ? "agent" : "user";
    const number = turn?.number ?? null;
    if (number === this.#now && side === this.#side) return;
    this.#items.get(this.#now)?.element.classList.remove("now", "user", "agent");
    [this.#now, this.#side] = [number, side];
    const item = this.#items.get(number)?.element;
    item?.classList.add("now", side);
    if (follow) item?.scrollIntoView({ block: "nearest" });
  }

  // One turn is the list's tab stop.
  #settle() {
    const current = this.#items.has(this.#chosen) ? this.#chosen : this.#items.keys().next().value;
    for (const [number, { element }] of this.#items) element.querySelector(".number").tabIndex = number === current ? 0 : -1;
  }

  #row(turn, longest, started, slow) {
    const { user, agent, latency } = turn;
    const [from] = extent(turn);
    const name = button(`${turn.number}`, () => this.choose(turn), "Choose this turn");
    name.className = "number";
    name.ariaLabel = `Turn ${turn.number}`;
    name.tabIndex = -1;
    const at = el("time", "quiet", offset(from - (started ?? from)));
    at.title = clock(from, true);
    const said = (who, side) => {
      if (!side?.text && !(who === "user" && turn.agent && !user)) return null;
      const words = el("span", "said", side?.text || "(no question)");
      const line = el("p", who, el("span", "who", who), words);
      if (side?.started !== undefined) {
        line.classList.add("heard");
        line.onclick = (event) => {
          event.stopPropagation();
          this.choose(turn);
          this.play(side.started - BEFORE);
        };
        line.title = "Play from here";
      }
      if (side?.interrupted) words.append(" ", el("span", "mark", "cut off"));
      return line;
    };
    const bar = el("div", "bar", ...parts(turn).map(({ name: part, label, seconds }) => {
      const made = el("i", `part ${part}`, seconds / longest > 0.03 + label.length * 0.012 ? `${label} ${duration(seconds)}` : "");
      made.style.width = `${((100 * seconds) / longest).toFixed(2)}%`;
      return made;
    }));
    bar.setAttribute("role", "img");
    bar.ariaLabel = explain(turn) || "latency unknown";
    bar.title = explain(turn);
    const total = el("b", slowness(latency?.total, slow), latency?.total === undefined ? "" : duration(latency.total));
    const marks = [turn.errors ? el("span", "error", plural(turn.errors, "error")) : null, ...(turn.tools ?? []).map((tool) => el("span", tool.is_error ? "error" : "quiet", `⚙ ${tool.name ?? "tool"}${tool.is_error ? " failed" : ""}`))];
    const made = el("li", "", el("div", "gutter", name, at), el("div", "words", said("user", user), said("agent", agent), el("div", "waited", parts(turn).length ? bar : null, total, ...marks)));
    made.onclick = () => this.choose(turn);
    return made;
  }
}
