// Controls above figures: choices, ranges, filters.

import { RANGES } from "../words/stretches.js";
import { button, el } from "../views/dom.js";

let made = 0;

/** A choice of one of several, `[value, label, title]`: one tab stop, the arrow keys choose. */
export class Choice {
  constructor(label, options, choose) {
    made += 1;
    this.name = `choice-${made}`;
    this.element = el("fieldset", "choice", el("legend", "unseen", label));
    this.inputs = new Map();
    for (const [value, words, title] of options) {
      const input = Object.assign(el("input"), { type: "radio", name: this.name, value });
      input.onchange = () => choose(value);
      const entry = el("label", "", input, el("span", "", words));
      if (title) entry.title = title;
      this.inputs.set(value, input);
      this.element.append(entry);
    }
  }

  /** Mark the value; null marks none. */
  show(value) {
    for (const [own, input] of this.inputs) input.checked = own === value;
  }
}

/**
 * The choice of a range, and fields for any other stretch. `choose(fields)`: with `since` and `until`. `open`: a stretch always
 * lasts until now.
 */
export class StretchChoice {
  constructor(choose, { open = false } = {}) {
    this.ranges = new Choice("Range", RANGES.map(([value, label, words]) => [value, label, `Show ${words}`]), (since) => choose({ since, until: "" }));
    this.from = timeField("From");
    this.to = timeField("Until");
    this.details = el("details", "own");
    const form = el("form", "sheet fields", ...this.from.parts, ...(open ? [] : this.to.parts), el("span"), Object.assign(el("button", "primary", "Show"), { type: "submit" }));
    form.onsubmit = (event) => {
      event.preventDefault();
      const [since, until] = [this.from, this.to].map(({ input }) => (input.value ? String(new Date(input.value).getTime() / 1000) : ""));
      this.details.open = false;
      if (since || until) choose({ since, until });
    };
    this.details.append(el("summary", "", "Custom"), form);
    this.details.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.details.open = false;
      this.details.firstElementChild.focus();
    });
    document.addEventListener("click", ({ target }) => {
      if (!this.details.contains(target)) this.details.open = false;
    });
    this.element = el("div", "stretch", this.ranges.element, this.details);
  }

  show({ range, since, until }) {
    this.ranges.show(range);
    this.details.classList.toggle("on", range === null);
    this.from.input.value = localTime(since);
    this.to.input.value = localTime(until);
  }
}

function timeField(label) {
  made += 1;
  const input = Object.assign(el("input"), { type: "datetime-local", id: `time-${made}` });
  return { input, parts: [Object.assign(el("label", "", label), { htmlFor: input.id }), input] };
}

function localTime(seconds) {
  if (seconds === null) return "";
  const at = new Date(seconds * 1000);
  return Number.isNaN(at.getTime()) ? "" : new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** A filter by name: text that is used when it is entered. `suggest(names)` offers names. */
export class NameFilter {
  constructor(label, use) {
    made += 1;
    this.input = Object.assign(el("input"), { type: "search", placeholder: label, autocomplete: "off", spellcheck: false, ariaLabel: `Only this ${label.toLowerCase()}; * matches anything` });
    this.list = Object.assign(el("datalist"), { id: `names-${made}` });
    this.input.setAttribute("list", this.list.id);
    this.input.onchange = () => use(this.input.value.trim());
    this.element = el("span", "filter", this.input, this.list);
  }

  show(value) {
    if (document.activeElement !== this.input) this.input.value = value;
    this.input.classList.toggle("on", Boolean(value));
  }

  suggest(names) {
    this.list.replaceChildren(...names.map((value) => Object.assign(el("option"), { value })));
  }
}

/** A button that takes a filter or a stretch away again. */
export const chip = (words, remove) => {
  const own = button(words, remove, "Remove");
  own.className = "chip";
  own.append(Object.assign(el("span", "", " ×"), { ariaHidden: "true" }));
  return own;
};

/** A place for a wide table: it scrolls sideways, with the keyboard too. */
export function scrollable(label) {
  const place = Object.assign(el("div", "wide"), { tabIndex: 0, ariaLabel: label });
  place.setAttribute("role", "region");
  return place;
}
