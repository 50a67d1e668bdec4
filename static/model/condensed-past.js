// The past before the events that the page has: only the events that the conversations show.

import { parse } from "./cursor.js";

const RECENT = 500; // minimum number of events that a new page begins with
const PAST = 3000; // events before those that the conversations need, without the ones that later events replaced

export class Past {
  #fetchPage;
  #events = []; // [id, data], oldest first

  /** `fetchPage(query)`: fetches a page of the history. */
  constructor(fetchPage) {
    this.#fetchPage = fetchPage;
    this.more = false; // whether the conversations go back further
  }

  /** The newest page of the history, with its past. `wanted`: only of this `{room, session}`, however long ago. */
  async newest(wanted = null) {
    const page = await this.#fetchPage({ ...wanted, limit: RECENT, past: PAST });
    if (!wanted) {
      this.#events = page.past;
      this.more = page.past_more;
    }
    return page;
  }

  /** Those before the event `id`, as `[id, data]`, oldest first. */
  before(id) {
    const first = parse(id)?.offset ?? Infinity;
    return this.#events.filter(([one]) => parse(one).offset < first);
  }

  clear() {
    this.#events = [];
  }
}
