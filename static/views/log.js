// The log: one line per event. Only visible lines have elements, since there may be 50,000 events.

import { byId, el, Follow } from "./dom.js";
import { clock, day, duration, fullTime } from "../words/format.js";
import { summary, tone } from "../words/event-summary.js";

const HEIGHT = 22; // px of a line, as in the style sheet
const BEYOND = 6; // lines above and below the visible ones

export class Log {
  /** `events()`: the events to show, oldest first; `open(event)`: one of them was chosen, or none (null). */
  constructor(events, open) {
    this.events = events;
    this.open = open;
    this.box = byId("log");
    this.rows = byId("log-rows");
    this.pool = [];
    this.chosen = null;
    this.follow = new Follow(this.box, byId("log-newest"));
    this.box.addEventListener("scroll", () => this.#soon(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.choose(row.event);
    });
    new ResizeObserver(() => this.render()).observe(this.box);
  }

  #soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.#draw();
    });
  }

  /**
   * Call this after the events have changed. `dropped`: how many lines were removed at the beginning (negative:
   * added), so that the visible lines stay.
   */
  render(dropped = 0) {
    const height = `${this.events().length * HEIGHT}px`;
    if (this.rows.style.height !== height) this.rows.style.height = height;
    if (this.follow.atEnd) this.follow.go();
    else if (dropped) this.box.scrollTop -= dropped * HEIGHT;
    this.#draw();
  }

  #draw() {
    if (!this.box.clientHeight) return;
    const events = this.events();
    const first = Math.max(0, Math.floor(this.box.scrollTop / HEIGHT) - BEYOND);
    const count = Math.ceil(this.box.clientHeight / HEIGHT) + 2 * BEYOND;
    while (this.pool.length < count) this.pool.push(this.#row());
    const size = this.pool.length;
    this.box.removeAttribute("aria-activedescendant"); // until the chosen line is drawn
    for (let n = 0; n < size; n += 1) {
      const index = first + n;
      this.#fill(this.pool[index % size], events[index], index, events.length);
    }
  }

  #row() {
    const row = el("div", "row", el("span", "at"), el("span", "in"), el("span", "type"), el("span", "sum"));
    row.setAttribute("role", "option");
    row.id = `row-${this.pool.length}`;
    this.rows.append(row);
    return row;
  }

  #fill(row, event, index, total) {
    row.hidden = event === undefined;
    if (!event) {
      row.event = undefined;
      return;
    }
    if (row.index !== index) {
      row.index = index;
      row.style.transform = `translateY(${index * HEIGHT}px)`;
      row.ariaPosInSet = index + 1;
    }
    row.ariaSetSize = total;
    const selected = event === this.chosen;
    row.ariaSelected = String(selected);
    if (selected) this.box.setAttribute("aria-activedescendant", row.id);
    if (row.event === event) return;
    row.event = event;
    const fields = JSON.parse(event.data);
    const [at, room, type, sum] = row.children;
    row.className = `row ${tone(fields)}`;
    const on = day(event.at);
    at.textContent = on === day(Date.now() / 1000) ? clock(event.at, true) : on ? `${on.slice(5)} ${clock(event.at)}` : "–";
    at.className = event.off ? "at off" : "at";
    at.title = event.off ? `${fullTime(event.at)}\nThe publisher's clock is ${clockOff(event.off)} the hub's.` : fullTime(event.at);
    room.textContent = event.room ?? "";
    type.textContent = event.type;
    sum.textContent = summary(fields);
  }

  choose(event) {
    this.chosen = event;
    this.open(event);
    if (event) this.#reveal(this.events().indexOf(event));
    this.#draw();
  }

  // The detail may cover the place of the line.
  #reveal(index) {
    const top = index * HEIGHT;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + HEIGHT > scrollTop + clientHeight) this.box.scrollTop = top + HEIGHT - clientHeight;
    this.follow.look();
  }

  #key(event) {
    const events = this.events();
    const page = Math.max(1, Math.floor(this.box.clientHeight / HEIGHT) - 1);
    const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") return this.choose(null);
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey || !events.length) return;
    event.preventDefault();
    const from = this.chosen ? events.indexOf(this.chosen) : -1;
    const start = from < 0 ? (steps[event.key] < 0 ? events.length : -1) : from;
    this.choose(events[Math.min(events.length - 1, Math.max(0, start + steps[event.key]))]);
  }
}

const clockOff = (seconds) => `${duration(Math.abs(seconds))} ${seconds < 0 ? "behind" : "ahead of"}`;
