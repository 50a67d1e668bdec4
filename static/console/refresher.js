// Loads a view's data: at once when it is shown, and again while it is shown and the hub is live.

import { el, text } from "../views/dom.js";
import { clock } from "../words/format.js";

const EVERY = 15_000; // ms
const LOOK = 1000; // ms between two looks at the connection

export class Refresher {
  #run = 0;
  #timer = 0;
  #due = 0;
  #loaded = NaN; // ms
  #error = "";
  #loading = false;
  #live = true;

  /**
   * `load()`: returns a promise of the data. `use(data, error)`: draws it; null and a sentence if there is none, because loading
   * failed.
   * `status()`: the newest status of the connection.
   */
  constructor({ load, use, status }) {
    this.load = load;
    this.use = use;
    this.status = status;
    this.element = el("p", "freshness");
    this.element.setAttribute("role", "status");
  }

  /** The view is shown: load, and keep loading. `again`: what is shown is not what is wanted now. */
  start(again = true) {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#look(), LOOK);
    if (again) this.#loaded = NaN;
    if (again || Date.now() >= this.#due) this.#ask();
    else this.#say();
  }

  stop() {
    clearInterval(this.#timer);
    this.#run += 1; // what is still to come is not used
    this.#loading = false;
    this.#due = 0;
  }

  #look() {
    const live = this.status().state === "live";
    const back = live && !this.#live; // the hub was away
    this.#live = live;
    if (live && !this.#loading && !document.hidden && (back || Date.now() >= this.#due)) this.#ask();
    else this.#say();
  }

  async #ask() {
    this.#run += 1;
    const run = this.#run;
    this.#loading = true;
    this.#error = "";
    this.#say();
    let found = null;
    try {
      found = await this.load();
    } catch (error) {
      if (run === this.#run) this.#error = error.message;
    }
    if (run !== this.#run) return;
    this.#loading = false;
    this.#due = Date.now() + EVERY;
    if (found !== null) {
      this.#loaded = Date.now();
      this.use(found);
    } else if (Number.isNaN(this.#loaded)) this.use(null, this.#error);
    this.#say();
  }

  #say() {
    const known = !Number.isNaN(this.#loaded);
    const at = known ? clock(this.#loaded / 1000) : "";
    const away = this.status().state !== "live" && known && !this.#error;
    this.element.classList.toggle("bad", Boolean(this.#error));
    if (this.#error) text(this.element, known ? `${this.#error}. What is shown is from ${at}.`.replace("..", ".") : "");
    else if (away) text(this.element, `The hub is away: what is shown is from ${at}.`);
    else if (!known) text(this.element, "Loading …");
    else if (!this.#loading) text(this.element, `As of ${at}`);
  }
}
