// The log's filters: text, type and room, and whether heartbeats are shown.

import { byId } from "./dom.js";

const TYPING = 120; // ms without a key after which a filter applies

export class Filters {
  /** `changed(settings)`: a filter was changed; `typed(room, done)`: a room was typed, `done` when the field is left. */
  constructor(changed, typed) {
    byId("filters").onsubmit = (event) => event.preventDefault();
    byId("filter-heartbeats").onchange = ({ target }) => changed({ heartbeats: target.checked ? "on" : "" });
    this.#watch("text", (text) => changed({ text }));
    this.#watch("type", (type) => changed({ type }));
    this.#watch("room", (room) => typed(room, false));
    byId("filter-room").onchange = ({ target }) => {
      clearTimeout(target.timer);
      target.timer = undefined;
      typed(target.value, true);
    };
  }

  #watch(name, changed) {
    byId(`filter-${name}`).oninput = ({ target }) => {
      clearTimeout(target.timer);
      target.timer = setTimeout(() => {
        target.timer = undefined;
        changed(target.value);
      }, TYPING);
    };
  }

  show({ text, type, room, heartbeats }) {
    for (const [name, value] of Object.entries({ text, type, room })) {
      const field = byId(`filter-${name}`);
      if (field.value !== (value ?? "") && field.timer === undefined) field.value = value ?? "";
      field.classList.toggle("on", Boolean(value));
    }
    byId("filter-heartbeats").checked = heartbeats === "on";
  }
}
