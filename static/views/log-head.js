// The line above the log: how many events there are, "Load older" and "Copy all"; and the suggestions of the filters.

import { byId, copy, el, text, toast } from "./dom.js";
import { number, plural } from "../words/format.js";

export class LogHead {
  /** `store`: the events; `loadOlder()`: load older ones, throws an error that says why not. */
  constructor(store, loadOlder) {
    this.store = store;
    this.suggested = new Map(); // list → the names in it
    this.older = byId("older");
    this.older.onclick = async () => {
      this.older.disabled = true;
      await loadOlder().catch((error) => toast(error.message));
      this.older.disabled = false;
    };
    byId("copy-shown").onclick = () => {
      const { shown } = store;
      copy(shown.map((event) => event.data).join("\n"), plural(shown.length, "event"));
    };
  }

  /** `older`: whether older events can be loaded; `rooms`: the names of those that are known. */
  render(older, rooms) {
    const { size, shown, forgotten, types } = this.store;
    const some = `${shown.length === size ? "" : `${number(shown.length)} of `}${plural(size, "event")}`;
    const dropped = forgotten ? ` · ${number(forgotten)} older ones dropped from this page` : "";
    text(byId("count"), size ? some + dropped : "no events yet");
    text(byId("tab-count"), size ? number(size) : "");
    this.older.hidden = !older;
    this.#suggest("types", [...types.keys()]);
    this.#suggest("rooms", rooms);
  }

  #suggest(id, names) {
    const key = names.join("\n");
    if (this.suggested.get(id) === key) return;
    this.suggested.set(id, key);
    byId(id).replaceChildren(...names.map((name) => Object.assign(el("option"), { value: name })));
  }
}
