// Places in the hub's history: `<epoch>-<offset>`. Pure.

/** `{epoch, offset}` of an id, or null where it is none. */
export function parse(id) {
  const found = /^([0-9a-z]{1,16})-(\d{1,18})$/.exec(id ?? "");
  return found && { epoch: found[1], offset: Number(found[2]) };
}

/**
 * What was seen of a stream that may reach this page twice over: from the history and from the stream, or from two tabs
 * that pass on the hub's events one after the other. Within an epoch offsets grow, so the last one seen is enough.
 */
export class Seen {
  #epochs = new Map(); // epoch → the last offset of it that was seen
  #kept = 20;

  /** True, once, for each event; false where it was seen before. */
  take(id) {
    const at = parse(id);
    if (!at) return true;
    if (at.offset <= (this.#epochs.get(at.epoch) ?? -1)) return false;
    this.#epochs.set(at.epoch, at.offset);
    if (this.#epochs.size > this.#kept) this.#epochs.delete(this.#epochs.keys().next().value);
    return true;
  }

  /** A `stream_gap`: where the hub's history is an older copy than what was seen, its offsets are given anew. */
  gap(event) {
    const from = parse(event.from);
    const to = parse(event.to);
    if (event.reason !== "future_cursor" || !from || !to || from.epoch !== to.epoch) return;
    if (this.#epochs.get(from.epoch) >= from.offset) this.#epochs.set(to.epoch, to.offset);
  }
}
