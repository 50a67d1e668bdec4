// What came before the events that the page has: not all of it, but all that shows in the conversations.

import { parse } from "./cursor.js";
import { history } from "./source.js";

const RECENT = 500; // events that a new page begins with, at least
const PAST = 3000; // events that its conversations go back, of those that no later ones have replaced

const order = ([one], [other]) => parse(one).offset - parse(other).offset;

export class Past {
  #hub;
  #events = []; // [id, data], oldest first

  constructor(hub) {
    this.#hub = hub;
  }

  /** The newest page of the history, with its past. */
  async newest() {
    const page = await history(this.#hub, { limit: RECENT, past: PAST });
    this.#events = page.past;
    return page;
  }

  /** Fetch the past of `{room, session}`, too, however long ago that was. */
  async recall(wanted) {
    const { past, events } = await history(this.#hub, { ...wanted, limit: 1, past: PAST });
    this.#events = [...new Map([...this.#events, ...past, ...events])].sort(order);
  }

  /** Those before the event `id`, as text, oldest first. */
  before(id) {
    const first = parse(id)?.offset ?? Infinity;
    return this.#events.filter(([one]) => parse(one).offset < first).map(([, data]) => data);
  }

  clear() {
    this.#events = [];
  }
}
