// Which conversation the page shows: all of them, a room with its present and future sessions, or one session. Pure.

export class Selection {
  /** `key`: the state's key of a session that has no name to select it by. */
  constructor({ room = "", session = "", key } = {}) {
    Object.assign(this, { room, session, key });
  }

  get everything() {
    return !this.room && !this.session && this.key === undefined;
  }

  /** The name of what is selected. */
  get name() {
    return this.room || this.session;
  }

  /** Parameters that restrict the history to it; null if the history cannot be restricted to it. */
  get query() {
    if (!this.room && !this.session) return null;
    return { ...(this.room && { room: this.room }), ...(this.session && { session: this.session }) };
  }

  /** Conditions for the store's filter. */
  get filter() {
    const keyed = this.key !== undefined && !this.session;
    return { room: this.room, session: this.session, nameless: keyed && !this.room, unnamed: keyed };
  }

  /** Whether an item belongs to it. Items of no session, such as gaps, belong to every selection. */
  includes({ session }) {
    return !session || this.#fits(session);
  }

  /** The session of it that began last, or null. Null for all rooms. */
  find(sessions) {
    if (this.everything) return null;
    const fitting = [...sessions.values()].filter((session) => this.#fits(session));
    return fitting.sort((a, b) => a.serial - b.serial).at(-1) ?? null;
  }

  #fits({ key, name, room }) {
    if (this.session) return name === this.session && (!this.room || room === this.room);
    if (this.key !== undefined) return key === this.key;
    return !this.room || room === this.room;
  }

  /** The selection of one session. */
  static of({ key, name, room }) {
    return new Selection({ room: room ?? "", session: name ?? "", key: name === null ? key : undefined });
  }

  equals({ room, session, key }) {
    return this.room === room && this.session === session && this.key === key;
  }
}
