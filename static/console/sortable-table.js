// A table whose columns sort it.

import { el } from "../views/dom.js";
import { sorted } from "../model/sorting.js";
import { roving } from "./roving.js";

export class SortableTable {
  /**
   * `columns`: `{name, label, value(row), words}`; `words`: the column has text, which is sorted from A on and set left.
   * `cells(row)`: its cells. `sort(field)`: the reader wants another order, which `draw` takes.
   */
  constructor({ caption, columns, cells, sort }) {
    Object.assign(this, { columns, cells, sort });
    this.heads = columns.map((column) => this.#head(column));
    const top = el("tr", "", ...this.heads);
    this.body = el("tbody");
    this.element = el("table", "figures sortable", el("caption", "", caption), el("thead", "", top), this.body);
    roving(top, "button");
  }

  #head({ name, label, words }) {
    const made = el("button");
    const arrow = Object.assign(el("span", "arrow"), { ariaHidden: "true" });
    made.append(...(words ? [label, arrow] : [arrow, label])); // numbers end where their head does
    made.type = "button";
    made.onclick = () => this.sort(this.field === name ? `-${name}` : name);
    const head = el("th", words ? "words" : "", made);
    head.scope = "col";
    return head;
  }

  /** Draw the rows in the order of `field`: a column's name, with `-` in front for its other direction. */
  draw(rows, field) {
    const wanted = this.columns.find(({ name }) => name === field.replace(/^-/, ""));
    const turned = field.startsWith("-");
    this.field = field;
    const downwards = wanted && !wanted.words !== turned;
    this.columns.forEach((column, index) => {
      if (column === wanted) this.heads[index].setAttribute("aria-sort", downwards ? "descending" : "ascending");
      else this.heads[index].removeAttribute("aria-sort");
    });
    this.body.replaceChildren(...(wanted ? sorted(rows, wanted.value, downwards) : rows).flatMap((row) => this.cells(row)));
  }
}
