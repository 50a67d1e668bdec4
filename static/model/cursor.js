// Cursors: places in the hub's history, `<epoch>-<offset>`. Pure.

/** `{epoch, offset}` of an id; null if it is not a cursor. */
export function parse(id) {
  const found = /^([0-9a-z]{1,16})-(\d{1,18})$/.exec(id ?? "");
  return found && { epoch: found[1], offset: Number(found[2]) };
}

/**
 * Recognizes events that reach the page twice: from the history and the stream, or from two tabs that held the stream one
 * after the other. Offsets grow within an epoch, so the last one seen is enough.
 */
export class Seen {
  #epochs = new Map(); // epoch → the last offset seen
  #limit = 20;

  /** True the first time an event is seen, false afterwards. */
  take(id) {
    const at = parse(id);
    if (!at) return true;
    if (at.offset <= (this.#epochs.get(at.epoch) ?? -1)) return false;
    this.#epochs.set(at.epoch, at.offset);
    if (this.#epochs.size > this.#limit) this.#epochs.delete(this.#epochs.keys().next().value);
    return true;
  }

  /** Take a `stream_gap`. A hub restored from an older copy of its history assigns the same offsets again. */
  gap(event) {
    const from = parse(event.from);
    const to = parse(event.to);
    if (event.reason !== "future_cursor" || !from || !to || from.epoch !== to.epoch) return;
    if (this.#epochs.get(from.epoch) >= from.offset) this.#epochs.set(to.epoch, to.offset);
  }
}
