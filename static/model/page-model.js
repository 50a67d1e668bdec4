// What the page knows: the events of its log, and the sessions and conversations that they add up to. Pure.

import { Seen, parse } from "./cursor.js";
import { State } from "./state.js";
import { Store } from "./store.js";

const CLOCK_OFF = 60; // s that a publisher's clock may be off before the log says so

/** Reasons of a gap after which the hub counts offsets from a different start. */
const RESET = new Set(["unknown_epoch", "unknown_cursor", "future_cursor"]);

/** Whether `data` is a gap after which the hub's history goes on in `epoch`. */
export function isReset(data, epoch) {
  if (!data.startsWith('{"type":"stream_gap"')) return false;
  const gap = JSON.parse(data);
  return RESET.has(gap.reason) && parse(gap.to)?.epoch === epoch;
}

/** An event as the log keeps it. */
export function entry(id, data, event = JSON.parse(data)) {
  const { type, room, session, timestamp: at } = event;
  return { id, data, type, room, session, at };
}

export class PageModel {
  #selected = () => true;

  /** `selected(item)`: whether an item belongs to the room or session that is selected; such items are dropped last. */
  constructor(selected) {
    this.#selected = selected;
    this.store = new Store();
    this.seen = new Seen();
    this.mixed = false; // whether it has events of an earlier history, so that no older ones can be put before them
    this.#fresh();
  }

  #fresh() {
    this.state = new State({}, (item) => this.#selected(item));
  }

  /** The id of the oldest event of the log that is a place in the history. */
  get oldest() {
    return this.store.all.find((kept) => !/^(heartbeat|stream_)/.test(kept.type))?.id;
  }

  /**
   * Take an event from the hub. `arrived`: when it came, in seconds of the hub's clock, if it is live; `heartbeats`:
   * whether the log shows those. Returns the event; null if it was known, or changes no conversation.
   */
  take(id, data, { arrived = NaN, heartbeats = false } = {}) {
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return null;
    }
    const kept = entry(id, data, event);
    if (kept.type === "heartbeat") {
      if (heartbeats) this.store.add(kept);
      return null;
    }
    if (kept.type === "stream_gap") {
      this.seen.gap(event);
      if (RESET.has(event.reason)) this.mixed = this.store.all.length > 0;
    } else if (!this.seen.take(id)) return null;
    const off = kept.at - arrived;
    if (Math.abs(off) > CLOCK_OFF) kept.off = off;
    this.store.add(kept);
    this.state.apply(event);
    return event;
  }

  /** Put a page of the history, as `[id, data]`, before the log. Returns whether there was room for all of it. */
  prepend(events) {
    const first = parse(this.oldest); // events that arrived meanwhile may be on the page, too
    const older = events.filter(([id]) => !first || parse(id).epoch !== first.epoch || parse(id).offset < first.offset);
    return this.store.prepend(older.map(([id, data]) => entry(id, data))) === older.length;
  }

  /**
   * Build the state again: first from `past` (`[id, data]`, from before the log), then from the log. Earlier events change
   * how later ones are read.
   */
  rebuild(past) {
    this.#fresh();
    for (const [, data] of past) this.state.apply(JSON.parse(data));
    for (const { data } of this.store.all) this.state.apply(JSON.parse(data));
  }

  clear() {
    this.store.clear();
    this.mixed = false;
    this.#fresh();
  }

  /** How many items of the selection were dropped. `everything`: of all sessions. */
  droppedOf(selection) {
    if (selection.everything) return this.state.forgotten;
    const sessions = [...this.state.sessions.values()].filter((session) => selection.includes({ session }));
    return sessions.reduce((sum, { forgotten }) => sum + forgotten, 0);
  }
}
