// Loads what happened before the page was opened: the newest events with their condensed past, older events on request,
// and the history of a room or session when it is selected.

import { Past } from "./condensed-past.js";
import { parse } from "./cursor.js";
import { entry } from "./page-model.js";

const OLDER = 1000; // events that "Load older" adds to the log
const FEW = 100; // with fewer events of the selection in the log, more of them are loaded
const PAGES = 10; // pages without a match that are read in one go, looking for older events of the selection
const RETRY = 3000; // ms, if the error names no delay

const byOffset = ([one], [other]) => parse(one).offset - parse(other).offset;

export class HistoryLoader {
  #fetchPage;
  #past;
  #recalled = []; // [id, data] of the selection, from before the log
  #cleared = 0; // how often the page was cleared: what was asked for before is not wanted any more
  #selected = 0; // how often the selection, or the filter, changed
  #reached = null; // the place down to which older events of the selection and the filter were looked for
  #loading = false;

  /** `fetchPage(query)`: fetches a page of the history; `model`: the `PageModel` to fill. */
  constructor(fetchPage, model) {
    this.#fetchPage = fetchPage;
    this.#past = new Past(fetchPage);
    this.model = model;
    this.loaded = false; // whether the newest events are there
    this.error = null; // why they could not be loaded
    this.older = null; // whether the hub has events older than the log; null until that is known
    this.olderSelected = null; // the same for the selection, once its history was loaded
  }

  /** Whether there are older events to load, of the selection and the filter `{text, type}`. */
  more(selection, filter = {}) {
    if (!this.older || this.model.mixed) return false;
    return queryOf(selection, filter) === null || this.olderSelected !== false;
  }

  /** Older events were dropped from the log to make room: they can be loaded again. */
  forgot() {
    if (this.older === null) return;
    this.older = true;
    this.olderSelected = this.olderSelected === null ? null : true;
  }

  /**
   * Load the newest events; if that fails, try again. `live()`: whether the hub can be reached. `settled(page)` is called
   * after each attempt, with null if it failed.
   */
  async begin(live, settled) {
    if (this.loaded || this.#loading) return;
    this.#loading = true;
    const cleared = this.#cleared;
    let page = null;
    let error = null;
    try {
      page = await this.#past.newest();
    } catch (caught) {
      error = caught;
    }
    this.#loading = false;
    if (cleared !== this.#cleared) return;
    this.error = error?.message ?? null;
    if (page) {
      this.#prepend(page);
      this.loaded = true;
    } else {
      setTimeout(() => cleared === this.#cleared && live() && this.begin(live, settled), error.retryAfter ?? RETRY);
    }
    await settled(page);
  }

  #prepend(page) {
    const whole = this.model.prepend(page.events);
    this.model.seen.take(page.after);
    this.older = page.more && whole;
    this.rebuild();
  }

  /** Build the state again, from the past and the log. */
  rebuild() {
    const { model } = this;
    const first = parse(model.oldest)?.offset ?? Infinity;
    // If the log has dropped events, the newest past does not reach up to it.
    const past = model.store.forgotten ? [] : this.#past.before(model.oldest);
    const recalled = this.#recalled.filter(([id]) => parse(id).offset < first);
    model.rebuild(recalled.length ? [...new Map([...past, ...recalled])].sort(byOffset) : past);
  }

  /** Load the history of `selection`, if the page has little of it. Returns whether something was loaded. */
  async recall(selection) {
    const { model } = this;
    this.#recalled = [];
    this.olderSelected = this.#reached = null;
    const run = (this.#selected += 1);
    model.store.recall([]);
    if (!this.loaded || !selection.query || !this.more(selection)) return false;
    const incomplete = model.droppedOf(selection) > 0 || selection.find(model.state.sessions) === null || this.#past.more;
    if (!incomplete && model.store.count(selection.filter) >= FEW) return false;
    const page = await this.#past.newest(selection.query);
    if (run !== this.#selected) return false;
    const first = parse(model.oldest)?.offset ?? Infinity;
    const isOlder = ([id]) => parse(id).offset < first;
    this.#recalled = [...page.past, ...page.events].filter(isOlder);
    let events = page.events.filter(isOlder);
    this.olderSelected = page.more;
    if (!events.length && page.more) events = await this.#olderOf(selection.query, page.before, run);
    if (run !== this.#selected) return false;
    model.store.recall(events.map(([id, data]) => entry(id, data)));
    this.rebuild();
    return true;
  }

  // A page of a filtered history may be empty although there are older matches.
  async #olderOf(query, before, run) {
    let cursor = before;
    for (let n = 0; n < PAGES && run === this.#selected; n += 1) {
      const page = await this.#fetchPage({ ...query, limit: OLDER, before: cursor });
      if (run !== this.#selected) break;
      this.olderSelected = page.more;
      cursor = this.#reached = page.before;
      if (page.events.length || !page.more) return page.events;
    }
    return [];
  }

  /** Another filter: what was found for the one before is not contiguous with what this one finds. */
  refilter() {
    if (this.#reached === null) return;
    this.#selected += 1;
    this.olderSelected = this.#reached = null;
    this.model.store.recall([]);
  }

  /**
   * Load events from before the oldest one of the log; of a selection and a filter, only its own: the whole history is
   * searched. Returns whether the state was built again.
   */
  async loadOlder(selection, filter = {}) {
    const { model } = this;
    const query = queryOf(selection, filter);
    if (query === null) {
      const { oldest } = model;
      const page = oldest ? await this.#fetchPage({ limit: OLDER, before: oldest }) : await this.#past.newest();
      this.#prepend(page);
      return true;
    }
    const run = this.#selected;
    const events = await this.#olderOf(query, this.#reached ?? model.store.recalled[0]?.id ?? model.oldest, run);
    if (run !== this.#selected) return false;
    model.store.recall([...events.map(([id, data]) => entry(id, data)), ...model.store.recalled]);
    return false;
  }

  /** Forget all of it; the history is not loaded again. */
  clear() {
    this.#cleared += 1;
    this.#selected += 1;
    this.loaded = true;
    this.#past.clear();
    this.#recalled = [];
    this.error = null;
    this.older = null;
    this.olderSelected = this.#reached = null;
  }
}

// The hub's query for a selection and a filter; null if neither limits anything.
function queryOf(selection, { text = "", type = "" }) {
  const types = type.split(/[\s,]+/).filter(Boolean);
  const query = { ...selection.query, ...(text ? { text } : {}), ...(types.length ? { type: types } : {}) };
  return Object.keys(query).length ? query : null;
}
