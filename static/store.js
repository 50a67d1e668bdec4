// The events that the page keeps, within a limit, and those of them that a filter shows. Pure.

export const LIMITS = { events: 50_000, characters: 48_000_000 };

/**
 * What a filter takes: `{room, session, type, text}`; each may be empty. `type` may name several, with `*`; `nameless`:
 * what belongs to no room and no session.
 */
export function matcher({ room, session, type, text, nameless }) {
  const tests = [];
  if (nameless) tests.push((one) => !one.room && !one.session);
  if (room) tests.push((one) => one.room === room);
  if (session) tests.push((one) => one.session === session);
  if (type) {
    const globs = type.split(/[\s,]+/).filter(Boolean).map((glob) => glob.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*"));
    const pattern = new RegExp(`^(?:${globs.join("|")})$`, "i");
    if (globs.length) tests.push((one) => pattern.test(one.type));
  }
  if (text) {
    // As it stands in the JSON, or as it reads: a quotation mark is written \" there.
    const forms = [...new Set([text, JSON.stringify(text).slice(1, -1)])].map((form) => form.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const pattern = new RegExp(forms.join("|"), "i");
    tests.push((one) => pattern.test(one.data));
  }
  return (one) => one.type === "stream_gap" || tests.every((test) => test(one));
}

export class Store {
  constructor(limits = {}) {
    this.limits = { ...LIMITS, ...limits };
    this.clear();
  }

  clear() {
    this.all = []; // {id, type, room, session, at, data}, oldest first
    this.shown = []; // those that the filter takes
    this.characters = 0;
    this.forgotten = 0; // dropped beyond the limits
    this.hidden = 0; // as many of those as were shown
    this.types ??= new Map(); // type → how many were seen
    this.matches ??= matcher({});
  }

  add(one) {
    this.all.push(one);
    this.characters += one.data.length;
    this.#count(one);
    if (this.matches(one)) this.shown.push(one);
    if (this.all.length > this.limits.events || this.characters > this.limits.characters) this.#forget();
  }

  #count({ type }) {
    this.types.set(type, (this.types.get(type) ?? 0) + 1);
    if (this.types.size > 500) this.types.delete(this.types.keys().next().value);
  }

  /** Put older events before the others, as many as there is room for. */
  prepend(older) {
    const room = Math.max(0, this.limits.events - this.all.length);
    const taken = room ? older.slice(-room) : [];
    this.all = [...taken, ...this.all];
    this.characters += taken.reduce((sum, one) => sum + one.data.length, 0);
    for (const one of taken) this.#count(one);
    this.shown = this.all.filter(this.matches);
    return taken.length;
  }

  /** Let go of all events of a type. */
  drop(type) {
    this.all = this.all.filter((one) => one.type !== type);
    this.shown = this.all.filter(this.matches);
    this.characters = this.all.reduce((sum, one) => sum + one.data.length, 0);
    this.types.delete(type);
  }

  filter(wanted) {
    this.matches = matcher(wanted);
    this.shown = this.all.filter(this.matches);
  }

  // A fiftieth at a time, so that it is seldom.
  #forget() {
    const keep = Math.floor(this.limits.events * 0.98);
    let characters = this.characters;
    let count = Math.max(0, this.all.length - keep);
    for (let n = 0; n < count; n += 1) characters -= this.all[n].data.length;
    while (characters > this.limits.characters * 0.98 && count < this.all.length - 1) {
      characters -= this.all[count].data.length;
      count += 1;
    }
    const gone = new Set(this.all.splice(0, count));
    let hidden = 0;
    while (hidden < this.shown.length && gone.has(this.shown[hidden])) hidden += 1;
    this.shown.splice(0, hidden);
    this.characters = characters;
    this.forgotten += count;
    this.hidden += hidden;
  }
}
