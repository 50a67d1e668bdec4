// Two sessions turn by turn: the words, and the waits on one scale.

import { aligned } from "../model/comparison.js";
import { button, el } from "../views/dom.js";
import { plural } from "../words/format.js";
import { signed } from "../words/comparison.js";
import { explain, leftOut, legend, longest, parts } from "../words/sessions.js";
import { seconds, slowness } from "../words/trends.js";
import { roving } from "./roving.js";
import { head } from "./totals-table.js";

const SHOWN = 100; // turns before a click on “Show all”
const NOTABLE = 0.2; // seconds by which one of two waits is worth a colour

export class CompareTurns {
  #all = false;
  #key = "";

  /** `link(words, side, turn)`: a link to a turn of side 0 or 1. */
  constructor(link) {
    this.link = link;
    this.legend = el("p", "parts-legend");
    this.place = el("div", "wide");
    this.settle = roving(this.place, "a");
    this.element = el("section", "turn-by-turn", el("h3", "", "Turn by turn"), this.legend, this.place);
  }

  /** Draw the turns of two sessions. `key`: which sessions these are. */
  draw(a, b, slow, key) {
    if (key !== this.#key) this.#all = false;
    this.#key = key;
    const rows = aligned(a, b);
    const shown = this.#all ? rows : rows.slice(0, SHOWN);
    const every = shown.flatMap((row) => [row.a, row.b]).filter(Boolean);
    const most = longest(every);
    this.legend.replaceChildren(...legend(every).flatMap(([name, label]) => [el("i", `part ${name}`), `${label} `]));
    const top = el("tr", "", head("Turn"), head("A", "col", "words"), head("B", "col", "words"), head("B against A"));
    const table = el("table", "figures turns", el("caption", "unseen", "Turn by turn"), el("thead", "", top), el("tbody", "", ...shown.map((row) => this.#row(row, most, slow))));
    const more = rows.length - shown.length;
    this.place.replaceChildren(table);
    this.settle();
    if (more > 0) {
      this.place.append(button(`Show ${plural(more, "more turn")}`, () => {
        this.#all = true;
        this.draw(a, b, slow, key);
      }));
    }
  }

  #row({ number, a, b }, most, slow) {
    const title = Object.assign(el("th", "", String(number)), { scope: "row" });
    const [before, after] = [a, b].map((turn) => turn?.latency?.total);
    const known = before !== undefined && after !== undefined;
    const difference = known ? Number((after - before).toFixed(2)) : NaN; // as it is shown
    const verdict = Math.abs(difference) < NOTABLE || !known ? "" : difference < 0 ? "better" : "worse";
    const words = !known ? "–" : `${signed(difference)}${verdict ? (difference < 0 ? " faster" : " slower") : ""}`;
    return el("tr", "", title, this.#side(a, 0, most, slow), this.#side(b, 1, most, slow), el("td", known ? verdict : "unknown", words));
  }

  #side(turn, side, most, slow) {
    if (!turn) return el("td", "words none", "no such turn");
    const { user, agent, latency, errors, number } = turn;
    const total = latency?.total;
    const wait = el("b", slowness(total, slow), total === undefined ? "–" : seconds(total));
    const asked = this.link(user?.text || (agent ? "(no question)" : "(not understood)"), side, number);
    asked.className = "asked";
    const answered = el("p", "answer", agent?.text ?? "");
    if (agent?.interrupted) answered.append(" ", el("span", "mark", "cut off"));
    if (errors) answered.append(" ", el("span", "worse", plural(errors, "error")));
    const omitted = leftOut(turn);
    if (omitted) answered.append(" ", el("span", "hint", omitted));
    const track = el("div", "bar");
    track.setAttribute("role", "img");
    track.ariaLabel = explain(turn) || "latency unknown";
    track.title = explain(turn);
    for (const { name, seconds: length } of parts(turn)) {
      const part = el("i", `part ${name}`);
      part.style.width = `${((100 * length) / Math.max(most, 1e-9)).toFixed(2)}%`;
      track.append(part);
    }
    return el("td", "words", el("div", "said", asked, wait), answered, parts(turn).length ? track : null);
  }
}
