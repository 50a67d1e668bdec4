// Every event, one line each. Only the lines that are seen exist: the list may have 50,000 of them.

import { byId, el, Follow } from "./dom.js";
import { clock, day, duration, fullTime } from "./format.js";
import { summary, tone } from "./summary.js";

const HEIGHT = 22; // px of a line, as in the style sheet
const BEYOND = 6; // lines beyond what is seen

export class Log {
  /** `events()`: those to show, oldest first; `open(one)`: somebody wants to see one of them, or none (null). */
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
      if (row) this.choose(row.one);
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
   * After the events have changed. `dropped`: lines that are gone from the beginning (negative: that were
   * put there), so that what is seen stays.
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
    this.box.removeAttribute("aria-activedescendant"); // until its line is among those that are drawn
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

  #fill(row, one, index, total) {
    row.hidden = one === undefined;
    if (!one) {
      row.one = undefined;
      return;
    }
    if (row.index !== index) {
      row.index = index;
      row.style.transform = `translateY(${index * HEIGHT}px)`;
      row.ariaPosInSet = index + 1;
    }
    row.ariaSetSize = total;
    const selected = one === this.chosen;
    row.ariaSelected = String(selected);
    if (selected) this.box.setAttribute("aria-activedescendant", row.id);
    if (row.one === one) return;
    row.one = one;
    const event = JSON.parse(one.data);
    const [at, room, type, sum] = row.children;
    row.className = `row ${tone(event)}`;
    const on = day(one.at);
    at.textContent = on === day(Date.now() / 1000) ? clock(one.at, true) : on ? `${on.slice(5)} ${clock(one.at)}` : "–";
    at.className = one.off ? "at off" : "at";
    at.title = one.off ? `${fullTime(one.at)}\nits publisher's clock is ${clockOff(one.off)} the hub's` : fullTime(one.at);
    room.textContent = one.room ?? "";
    type.textContent = one.type;
    sum.textContent = summary(event);
  }

  choose(one) {
    this.chosen = one;
    this.open(one);
    if (one) this.#reveal(this.events().indexOf(one));
    this.#draw();
  }

  // The detail may have taken the place where the line was.
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
