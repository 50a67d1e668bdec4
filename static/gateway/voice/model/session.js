// The conversation's id and its unanswered requests, kept for the tab's lifetime. Pure.

const KEY = "voice-session";
const PENDING = 8;

/** `storage`: as sessionStorage; it may throw, because browsers can forbid it. `uuid()`: a new id. */
export class Session {
  constructor(storage, uuid) {
    this.storage = storage;
    this.uuid = uuid;
    const { id, pending } = this.#read();
    this.id = typeof id === "string" && id ? id : uuid();
    /** Requests without a reply: `{ request_id, text }`. After a reload they are sent again. */
    this.pending = Array.isArray(pending) ? pending.filter((each) => typeof each?.request_id === "string" && typeof each.text === "string").slice(-PENDING) : [];
    this.#write();
  }

  /** Note which turns are unanswered. */
  remember(turns) {
    const pending = turns.map(({ id, text }) => ({ request_id: id, text })).slice(-PENDING);
    if (JSON.stringify(pending) === JSON.stringify(this.pending)) return;
    this.pending = pending;
    this.#write();
  }

  /** Begin a new conversation. */
  renew() {
    this.id = this.uuid();
    this.pending = [];
    this.#write();
  }

  #read() {
    try {
      return JSON.parse(this.storage().getItem(KEY)) ?? {};
    } catch {
      return {};
    }
  }

  #write() {
    try {
      this.storage().setItem(KEY, JSON.stringify({ id: this.id, pending: this.pending }));
    } catch {
      // kept by this page only
    }
  }
}
