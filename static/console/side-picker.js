// Picks one side of a comparison: a combobox that suggests versions of agents and the newest sessions.

import { readSide } from "../model/comparison.js";
import { sideName } from "../words/comparison.js";
import { el } from "../views/dom.js";

const MOST = 40; // suggestions that are listed

export class SidePicker {
  #options = [];
  #active = -1;
  #field = "";

  /** `letter`: A or B; `pick(field)`: the reader chose; `suggest()`: a promise of `{field, group, label, hint}`. */
  constructor(letter, { pick, suggest }) {
    Object.assign(this, { pick, suggest });
    const id = `side-${letter.toLowerCase()}`;
    this.input = Object.assign(el("input"), { type: "text", id, autocomplete: "off", spellcheck: false, placeholder: "Agent version or session" });
    this.list = Object.assign(el("div", "options"), { id: `${id}-options`, hidden: true });
    this.list.setAttribute("role", "listbox");
    this.list.ariaLabel = `Suggestions for ${letter}`;
    for (const [name, value] of [["role", "combobox"], ["aria-expanded", "false"], ["aria-controls", this.list.id], ["aria-autocomplete", "list"]]) this.input.setAttribute(name, value);
    this.element = el("div", "side", Object.assign(el("label", "letter", letter), { htmlFor: id }), this.input, this.list);
    this.input.onfocus = () => this.input.select();
    this.input.onclick = () => this.#open("");
    this.input.oninput = () => this.#open(this.input.value);
    this.input.onkeydown = (event) => this.#key(event);
    this.input.onblur = () => this.#close();
    this.list.onpointerdown = (event) => event.preventDefault(); // the field keeps the focus
    this.list.onclick = ({ target }) => {
      const option = target.closest("[role=option]");
      if (option) this.#choose(option.dataset.field);
    };
  }

  /** Show the side that the address names. */
  show(field) {
    this.#field = field;
    const side = readSide(field);
    if (document.activeElement !== this.input || this.list.hidden) this.input.value = side ? sideName(side) : field;
    this.input.title = this.input.value;
  }

  async #open(typed) {
    const wanted = typed.trim().toLowerCase();
    this.typed = wanted;
    let all = [];
    try {
      all = await this.suggest();
    } catch (error) {
      all = [];
      this.problem = error.message;
    }
    if (this.typed !== wanted || document.activeElement !== this.input) return;
    this.#options = all.filter(({ label, hint, field }) => `${label} ${hint} ${field}`.toLowerCase().includes(wanted)).slice(0, MOST);
    this.#active = -1;
    const rows = [];
    let group = "";
    this.#options.forEach((option, index) => {
      if (option.group !== group) rows.push(Object.assign(el("p", "group", option.group), { role: "presentation" }));
      group = option.group;
      const row = Object.assign(el("div", "option", el("span", "label", option.label), el("span", "hint", option.hint)), { id: `${this.list.id}-${index}` });
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", "false");
      row.dataset.field = option.field;
      rows.push(row);
    });
    if (!rows.length) rows.push(el("p", "group", this.problem ?? "No version or session of that name among the newest: an id can be entered as session:<id>"));
    this.list.replaceChildren(...rows);
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
  }

  #close() {
    this.typed = undefined;
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.show(this.#field);
  }

  #choose(field) {
    this.#field = field;
    this.#close();
    this.pick(field);
  }

  #key(event) {
    const { key } = event;
    if (key === "Escape" && !this.list.hidden) {
      event.stopPropagation();
      this.#close();
    } else if (key === "ArrowDown" || key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) this.#open("");
      else this.#move(key === "ArrowDown" ? 1 : -1);
    } else if (key === "Enter") {
      event.preventDefault();
      const typed = this.input.value.trim();
      const option = this.list.hidden ? null : (this.#options[this.#active] ?? (this.#options.length === 1 ? this.#options[0] : null));
      if (option) this.#choose(option.field);
      else if (readSide(typed)) this.#choose(typed);
    }
  }

  #move(by) {
    const rows = [...this.list.querySelectorAll("[role=option]")];
    if (!rows.length) return;
    this.#active = (this.#active + by + rows.length + (this.#active < 0 && by < 0 ? 1 : 0)) % rows.length;
    rows.forEach((row, index) => row.setAttribute("aria-selected", String(index === this.#active)));
    rows[this.#active].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", rows[this.#active].id);
  }
}
