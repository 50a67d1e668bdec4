// One stream of a hub, kept open: it reconnects, resumes where it stopped, fetches the events it was too slow for, and
// reports its state. Runs in a page or in a worker.

import { parse } from "../model/cursor.js";
import { lacking } from "../words/access.js";
import { Api, HubError, refused } from "./api.js";

const FIRST = 500; // ms before the first reconnection attempt
const LONGEST = 10_000; // ms between attempts
const FOREIGN = 10_000; // ms before asking a server that is not a hub again
const BATCH = 25; // ms; events that arrive within this time are passed on together
const HEARTBEAT = 15; // s, until the hub has told its own interval
const TIMEOUT = 15_000; // ms for a response
const FILL_LIMIT = 50_000; // events fetched to fill one gap

export class Source {
  #api;
  #emit;
  #source = null;
  #last = ""; // the id to resume after
  #tries = 0;
  #timer = 0;
  #watchdog = 0;
  #silence = 3000 * HEARTBEAT;
  #pending = [];
  #flushing = 0;
  #filling = null;
  #replayed = 0; // stored events still to come before the live ones
  #closed = false;
  #ended = "";
  #run = 0;

  /**
   * `emit({events: [[id, data, live], …]})`: what the hub sent, as text, oldest first; `live` is false for replayed events.
   * `emit({status})`: the connection's `state` (`connecting`, `live` or `waiting`; while waiting also `reason`, `kind` and
   * `retryAt` in epoch ms, unless a sign-in is needed: `kind` signed-out, and `ended`, why the stream was ended), the hub's
   * `config`, the `last` id received, and `skew`, the seconds by which the hub's clock is ahead of this one.
   * `after`: the id to resume after; without it, the stream starts with the next event. `credential`: the tab's, if any.
   */
  constructor(hub, emit, after = "", credential = "") {
    this.#api = new Api(hub, credential);
    this.#emit = emit;
    this.#last = after;
    this.status = { state: "connecting" };
    this.#open();
  }

  /**
   * Reconnect now. `force`: even if the stream is open, because what the browser may see has changed. `ended`: why it has.
   */
  retry({ force = false, ended = this.#ended } = {}) {
    this.#ended = ended;
    if (force || this.status.state !== "live") this.#open();
  }

  close() {
    this.#closed = true;
    this.#drop();
  }

  #drop() {
    this.#run += 1;
    clearTimeout(this.#timer);
    clearTimeout(this.#watchdog);
    this.#source?.close();
    this.#source = null;
  }

  #say(status) {
    this.status = { config: this.status.config, skew: this.status.skew, last: this.#last, ...status };
    this.#flush();
    this.#emit({ status: this.status });
  }

  async #open() {
    this.#drop();
    const run = this.#run;
    const stale = () => this.#closed || run !== this.#run;
    this.#say({ state: "connecting", reason: this.status.reason, kind: this.status.kind });
    try {
      const config = await this.#api.get("/api/config");
      if (stale()) return;
      if (lacking(config.access)) return this.#signedOut(config);
      if (!config.epoch) throw new HubError("foreign", `${this.#api.hub} is not a hub: it responds with a different /api/config`, FOREIGN);
      this.status.config = config;
      this.#silence = 3000 * (config.heartbeat ?? HEARTBEAT);
    } catch (error) {
      if (!stale()) this.#wait(error);
      return;
    }
    const query = this.#last ? `?last_event_id=${encodeURIComponent(this.#last)}` : "";
    this.#source = new EventSource(this.#api.address(`/api/stream${query}`));
    this.#source.onmessage = (message) => this.#take(message.lastEventId, message.data);
    this.#source.onerror = () => this.#failed(run);
    this.#alive();
  }

  // An EventSource does not say why it failed; a plain request for the same stream does.
  async #failed(run) {
    const wasLive = this.status.state === "live";
    this.#drop();
    run = this.#run;
    if (wasLive) return this.#wait(new HubError("unreachable", "The connection to the hub was lost"));
    const abort = new AbortController();
    setTimeout(() => abort.abort(), TIMEOUT);
    let cause = new HubError("unreachable", `No hub answers at ${this.#api.hub}`);
    try {
      const response = await fetch(this.#api.address("/api/stream"), { cache: "no-store", signal: abort.signal });
      const problem = response.ok ? null : await response.json().catch(() => null);
      cause = problem?.detail
        ? refused(response, problem)
        : new HubError("foreign", `The stream of ${this.#api.hub} responds with ${response.status}`, response.ok ? FIRST : undefined);
      if (response.status === 401) cause.retryAfter = undefined; // soon: the configuration says whether to sign in
    } catch {
      // no response: unreachable
    }
    abort.abort();
    if (!this.#closed && run === this.#run) this.#wait(cause);
  }

  // Asking again would not help. `ended`: why the stream that was open has ended.
  #signedOut(config) {
    this.#drop();
    this.status.config = { ...this.status.config, ...config };
    this.#say({ state: "waiting", reason: "This hub requires a key", kind: "signed-out", ended: this.#ended });
  }

  #wait(error) {
    this.#drop();
    const backoff = Math.min(LONGEST, FIRST * 2 ** this.#tries);
    this.#tries += 1;
    const delay = (error.retryAfter ?? backoff) * (0.75 + Math.random() / 2);
    this.#say({ state: "waiting", reason: error.message, kind: error.kind, retryAt: Date.now() + delay });
    this.#timer = setTimeout(() => this.#open(), delay);
  }

  #alive() {
    clearTimeout(this.#watchdog);
    const silent = () => this.#wait(new HubError("silent", "The hub has missed three heartbeats", FIRST));
    this.#watchdog = setTimeout(silent, this.#silence);
  }

  #take(id, data) {
    this.#alive();
    if (data.includes('"stream_') || this.status.state !== "live") {
      const event = JSON.parse(data);
      if (event.type === "stream_opened") return this.#opened(id, event);
      if (event.type === "stream_closing") return this.#closing(id, event);
      if (event.type === "stream_gap" && event.reason === "too_slow") this.#fill(event);
      else this.#push(id, data);
    } else this.#push(id, data);
    this.#last = id;
  }

  #opened(id, { timestamp, replayed }) {
    this.#last ||= id;
    this.#tries = 0;
    this.#replayed = replayed ?? Infinity;
    this.#ended = "";
    this.#say({ state: "live", since: Date.now(), skew: timestamp - Date.now() / 1000 });
  }

  // The hub gives each subscriber a different delay, so that they do not all reconnect at once.
  #closing(id, { reason, retry = FIRST * 2 }) {
    this.#last = id || this.#last;
    this.#ended = reason;
    if (reason !== "shutdown") return this.#open(); // its configuration says whether to sign in
    this.#wait(new HubError("closing", "The hub is shutting down or restarting", retry));
  }

  #push(id, data) {
    if (data.startsWith('{"type":"heartbeat"')) {
      this.#replayed = 0;
      const degraded = data.includes('"degraded":true'); // the hub refuses publishers until it can write its history again
      if (degraded !== (this.status.degraded ?? false)) this.#say({ ...this.status, degraded });
    } else if (!data.startsWith('{"type":"stream_gap"')) this.#replayed -= 1;
    this.#pending.push([id, data, this.#replayed < 0]);
    if (this.#flushing || this.#filling) return;
    // Browsers delay timers in hidden tabs by up to a minute, and other tabs may depend on this one.
    if (globalThis.document?.hidden) this.#flush();
    else this.#flushing = setTimeout(() => this.#flush(), BATCH);
  }

  #flush() {
    clearTimeout(this.#flushing);
    this.#flushing = 0;
    if (!this.#pending.length || this.#filling) return;
    const events = this.#pending;
    this.#pending = [];
    this.#emit({ events });
  }

  // The missed events are still in the history. Later events wait until they are fetched.
  #fill(gap) {
    const place = [];
    this.#pending.push(place);
    const filling = (this.#filling ?? Promise.resolve()).then(() => missing(this.#api, gap)).then((found) => {
      this.#pending.splice(this.#pending.indexOf(place), 1, ...found);
      if (this.#filling !== filling) return;
      this.#filling = null;
      this.#flush();
    });
    this.#filling = filling;
  }
}

async function missing(api, gap) {
  const found = [];
  const end = parse(gap.to).offset;
  let after = gap.from;
  let tries = 0;
  for (let more = true; more && found.length < FILL_LIMIT; ) {
    try {
      const page = await api.history({ after, limit: 1000 });
      if (page.gap) found.push([page.gap.to, JSON.stringify({ type: "stream_gap", ...page.gap }), false]);
      for (const [id, data] of page.events) {
        if (parse(id).offset > end) return found;
        found.push([id, data, false]);
      }
      ({ after, more } = page);
      tries = 0;
      if (parse(after)?.offset >= end) return found;
    } catch (error) {
      tries += 1;
      if (tries > 5) break;
      await new Promise((done) => setTimeout(done, error.retryAfter ?? FIRST * 2 ** tries));
    }
  }
  const missed = end - (parse(after)?.offset ?? NaN);
  if (missed !== 0) found.push([gap.to, JSON.stringify({ ...gap, from: after, missed: missed > 0 ? missed : gap.missed }), false]);
  return found;
}
