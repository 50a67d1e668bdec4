// The events of the log, within limits, and those of them that match a filter. Pure.

export const LIMITS = { events: 50_000, characters: 48_000_000 };

/**
 * Makes a test for events from a filter's fields, each of which may be empty. `type`: one or several types, with `*`.
 * `nameless`: events without a room. `unnamed`: events without a session.
 */
export function matcher({ room, session, type, text, nameless, unnamed }) {
  const tests = [];
  if (nameless) tests.push((event) => !event.room);
  if (unnamed) tests.push((event) => !event.session);
  if (room) tests.push((event) => event.room === room);
  if (session) tests.push((event) => event.session === session);
  if (type) {
    const globs = type.split(/[\s,]+/).filter(Boolean).map((glob) => glob.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*"));
    const pattern = new RegExp(`^(?:${globs.join("|")})$`, "i");
    if (globs.length) tests.push((event) => pattern.test(event.type));
  }
  if (text) {
    // The text as typed, or as JSON escapes it.
    const forms = [...new Set([text, JSON.stringify(text).slice(1, -1)])].map((form) => form.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const pattern = new RegExp(forms.join("|"), "i");
    tests.push((event) => pattern.test(event.data));
  }
  return (event) => event.type === "stream_gap" || tests.every((test) => test(event));
}

export class Store {
  constructor(limits = {}) {
    this.limits = { ...LIMITS, ...limits };
    this.clear();
  }

  clear() {
    this.all = []; // {id, type, room, session, at, data}, oldest first; nothing is missing between them
    this.recalled = []; // events of the selected room or session from before those
    this.shown = []; // those of both that match the filter
    this.characters = 0; // of both
    this.forgotten = 0; // events dropped beyond the limits
    this.hidden = 0; // how many of those were shown
    this.types ??= new Map(); // type → how many were seen
    this.matches ??= matcher({});
  }

  /** How many events there are to filter. */
  get size() {
    return this.recalled.length + this.all.length;
  }

  add(event) {
    this.all.push(event);
    this.characters += event.data.length;
    this.#count(event);
    if (this.matches(event)) this.shown.push(event);
    if (this.size > this.limits.events || this.characters > this.limits.characters) this.#forget();
  }

  #count({ type }) {
    this.types.set(type, (this.types.get(type) ?? 0) + 1);
    if (this.types.size > 500) this.types.delete(this.types.keys().next().value);
  }

  #filter() {
    this.shown = [...this.recalled, ...this.all].filter(this.matches);
  }

  /** Put older events before `all`, as many as there is room for. */
  prepend(older) {
    const room = Math.max(0, this.limits.events - this.size);
    const taken = room ? older.slice(-room) : [];
    this.all = [...taken, ...this.all];
    this.characters += sizeOf(taken);
    for (const event of taken) this.#count(event);
    this.#filter();
    return taken.length;
  }

  /** Have these older events of the selection, and no others, before `all`: as many as there is room for. */
  recall(events) {
    const room = Math.max(0, this.limits.events - this.all.length);
    this.characters -= sizeOf(this.recalled);
    this.recalled = room ? events.slice(-room) : [];
    this.characters += sizeOf(this.recalled);
    for (const event of this.recalled) if (!this.types.has(event.type)) this.#count(event);
    this.#filter();
  }

  /** Drop all events of a type. */
  drop(type) {
    this.all = this.all.filter((event) => event.type !== type);
    this.#filter();
    this.characters = sizeOf(this.recalled) + sizeOf(this.all);
    this.types.delete(type);
  }

  filter(wanted) {
    this.matches = matcher(wanted);
    this.#filter();
  }

  /** How many events match `wanted`. */
  count(wanted) {
    const matches = matcher(wanted);
    return this.all.filter((event) => event.type !== "stream_gap" && matches(event)).length;
  }

  // Recalled events go first, all at once: what would remain of them does not reach up to the others. Of the others a
  // fiftieth goes at a time, so that this is rare.
  #forget() {
    const gone = new Set(this.recalled);
    let characters = this.characters - sizeOf(this.recalled);
    this.recalled = [];
    if (this.all.length > this.limits.events || characters > this.limits.characters) {
      const keep = Math.floor(this.limits.events * 0.98);
      let count = Math.max(0, this.all.length - keep);
      for (let n = 0; n < count; n += 1) characters -= this.all[n].data.length;
      while (characters > this.limits.characters * 0.98 && count < this.all.length - 1) {
        characters -= this.all[count].data.length;
        count += 1;
      }
      for (const event of this.all.splice(0, count)) gone.add(event);
    }
    let hidden = 0;
    while (hidden < this.shown.length && gone.has(this.shown[hidden])) hidden += 1;
    this.shown.splice(0, hidden);
    this.characters = characters;
    this.forgotten += gone.size;
    this.hidden += hidden;
  }
}

const sizeOf = (events) => events.reduce((sum, { data }) => sum + data.length, 0);
