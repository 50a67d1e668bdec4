// Events that wait to be shown: until the history is loaded, or until the page is resumed. Bounded. Pure.

export class HeldEvents {
  #events = []; // [id, data, arrived]
  #characters = 0;

  /** `limits`: `{events, characters}`, as the store has them. */
  constructor(limits) {
    this.limits = limits;
  }

  get size() {
    return this.#events.length;
  }

  add(id, data, arrived) {
    this.#events.push([id, data, arrived]);
    this.#characters += data.length;
  }

  /** Drop the oldest events beyond the limits, some more than needed so that this is rare. Returns how many were dropped. */
  trim() {
    const { events, characters } = this.limits;
    if (this.#events.length <= events && this.#characters <= characters) return 0;
    let count = Math.max(0, this.#events.length - Math.floor(events * 0.98));
    this.#characters -= this.#events.slice(0, count).reduce((sum, [, data]) => sum + data.length, 0);
    for (; this.#characters > characters * 0.98; count += 1) this.#characters -= this.#events[count][1].length;
    this.#events.splice(0, count);
    return count;
  }

  /** Drop everything up to the last event that `matches(data)`. */
  dropThrough(matches) {
    const dropped = this.#events.splice(0, this.#events.findLastIndex(([, data]) => matches(data)) + 1);
    this.#characters -= dropped.reduce((sum, [, data]) => sum + data.length, 0);
  }

  /** All of them, oldest first; nothing is held afterwards. */
  release() {
    const events = this.#events;
    this.clear();
    return events;
  }

  clear() {
    this.#events = [];
    this.#characters = 0;
  }
}
