// One stream of a hub, kept open: comes back by itself, resumes where it left off, fills what it was too slow for, and
// says what is the matter in a sentence. Runs in a page or in a worker.

import { parse } from "./cursor.js";
import { exact } from "./format.js";

const FIRST = 500; // ms before the first try to come back
const LONGEST = 10_000;
const REFUSED = 30_000; // where asking again soon will not help
const TOGETHER = 25; // ms within which events are handed on together
const HEARTBEAT = 15; // s, until the hub has said its own
const PATIENCE = 15_000; // ms for an answer
const FILLED = 50_000; // events at the most that are fetched to fill a gap

/** Why a hub could not be watched. `again`: milliseconds to wait, where it is known. */
class Trouble extends Error {
  constructor(kind, message, again) {
    super(message);
    this.kind = kind; // unreachable, refused, foreign, closing, silent
    this.again = again;
  }
}

/** Ask a hub for JSON; throws `Trouble` that says what is wrong; where the hub refuses, with its `problem`. */
export async function ask(url, options, reviver) {
  let answer;
  try {
    answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE), ...options });
  } catch (error) {
    const slow = error.name === "TimeoutError";
    throw new Trouble("unreachable", `${slow ? "No answer from" : "No hub answers at"} ${url.replace(/\/api\/.*$/, "")}`);
  }
  const kind = answer.headers.get("Content-Type") ?? "no content type";
  if (/^application\/(json|problem\+json)/.test(kind)) {
    const body = await answer.text().then((text) => JSON.parse(text, reviver)).catch(() => null);
    if (answer.ok && body !== null) return body;
    if (body?.detail) throw refusal(answer, body);
  }
  throw new Trouble("foreign", `${url.replace(/\/api\/.*$/, "")} is no hub: it answers ${answer.status} with ${kind.split(";")[0]}`, REFUSED / 3);
}

function refusal(answer, problem) {
  const wait = Number(answer.headers.get("Retry-After")) * 1000;
  const advice = problem.advice ? ` ${problem.advice}` : "";
  const trouble = new Trouble("refused", `The hub refuses: ${problem.detail}.${advice}`.replace("..", "."), problem.retry ? wait || FIRST * 4 : REFUSED);
  return Object.assign(trouble, { problem });
}

export class Source {
  #hub;
  #emit;
  #source = null;
  #last = ""; // the id after which to go on
  #tries = 0;
  #timer = 0;
  #watchdog = 0;
  #silence = 3000 * HEARTBEAT;
  #pending = [];
  #flushing = 0;
  #filling = null;
  #replayed = 0; // stored events that are still to come before the live ones
  #closed = false;
  #run = 0;

  /**
   * `emit({events: [[id, data, live], …]})`: what the hub sent, as text, oldest first; `live` where it is no replay.
   * `emit({status})`: the connection's state, `connecting`, `live` or `waiting`, with `reason`, `kind` and `retryAt`
   * (epoch ms) where it waits, the hub's `config`, `last`, the id that it has reached, and `skew`, the seconds that the
   * hub's clock is ahead of this one.
   * `after`: the id after which to begin; without it, with what happens from now on.
   */
  constructor(hub, emit, after = "") {
    this.#hub = hub;
    this.#emit = emit;
    this.#last = after;
    this.status = { state: "connecting" };
    this.#open();
  }

  /** Do not wait any longer. */
  retry() {
    if (this.status.state !== "live") this.#open();
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
      const config = await ask(`${this.#hub}/api/config`);
      if (stale()) return;
      if (!config.epoch) throw new Trouble("foreign", `${this.#hub} is no hub: its /api/config is something else's`, REFUSED / 3);
      this.status.config = config;
      this.#silence = 3000 * (config.heartbeat ?? HEARTBEAT);
    } catch (trouble) {
      if (!stale()) this.#wait(trouble);
      return;
    }
    const query = this.#last ? `?last_event_id=${encodeURIComponent(this.#last)}` : "";
    this.#source = new EventSource(`${this.#hub}/api/stream${query}`);
    this.#source.onmessage = (message) => this.#take(message.lastEventId, message.data);
    this.#source.onerror = () => this.#failed(run);
    this.#alive();
  }

  // A browser tells nothing of why a stream failed: asking for it once more, as a plain request, does.
  async #failed(run) {
    const wasLive = this.status.state === "live";
    this.#drop();
    run = this.#run;
    if (wasLive) return this.#wait(new Trouble("unreachable", "The connection to the hub broke"));
    const abort = new AbortController();
    setTimeout(() => abort.abort(), PATIENCE);
    let trouble = new Trouble("unreachable", `No hub answers at ${this.#hub}`);
    try {
      const answer = await fetch(`${this.#hub}/api/stream`, { cache: "no-store", signal: abort.signal });
      const problem = answer.ok ? null : await answer.json().catch(() => null);
      trouble = problem?.detail
        ? refusal(answer, problem)
        : new Trouble("foreign", `The stream of ${this.#hub} answers ${answer.status}`, answer.ok ? FIRST : undefined);
    } catch {
      // nobody answers: as it was
    }
    abort.abort();
    if (!this.#closed && run === this.#run) this.#wait(trouble);
  }

  #wait(trouble) {
    this.#drop();
    const backoff = Math.min(LONGEST, FIRST * 2 ** this.#tries);
    this.#tries += 1;
    const delay = (trouble.again ?? backoff) * (0.75 + Math.random() / 2);
    this.#say({ state: "waiting", reason: trouble.message, kind: trouble.kind, retryAt: Date.now() + delay });
    this.#timer = setTimeout(() => this.#open(), delay);
  }

  #alive() {
    clearTimeout(this.#watchdog);
    const silent = () => this.#wait(new Trouble("silent", "The hub has been silent for three heartbeats", FIRST));
    this.#watchdog = setTimeout(silent, this.#silence);
  }

  #take(id, data) {
    this.#alive();
    if (data.includes('"stream_') || this.status.state !== "live") {
      const event = JSON.parse(data);
      if (event.type === "stream_opened") return this.#opened(id, event);
      if (event.type === "stream_closing") return this.#closing(id, event.retry);
      if (event.type === "stream_gap" && event.reason === "too_slow") this.#fill(event);
      else this.#push(id, data);
    } else this.#push(id, data);
    this.#last = id;
  }

  #opened(id, { timestamp, replayed }) {
    this.#last ||= id;
    this.#tries = 0;
    this.#replayed = replayed ?? Infinity;
    this.#say({ state: "live", since: Date.now(), skew: timestamp - Date.now() / 1000 });
  }

  // Each subscriber is told a delay of its own, so that they do not all come back at once.
  #closing(id, retry = FIRST * 2) {
    this.#last = id || this.#last;
    this.#wait(new Trouble("closing", "The hub is shutting down or restarting", retry));
  }

  #push(id, data) {
    if (data.startsWith('{"type":"heartbeat"')) this.#replayed = 0;
    else if (!data.startsWith('{"type":"stream_gap"')) this.#replayed -= 1;
    this.#pending.push([id, data, this.#replayed < 0]);
    if (this.#flushing || this.#filling) return;
    // A browser slows the timers of a hidden tab down, up to a minute; another tab may be waiting for what this one has.
    if (globalThis.document?.hidden) this.#flush();
    else this.#flushing = setTimeout(() => this.#flush(), TOGETHER);
  }

  #flush() {
    clearTimeout(this.#flushing);
    this.#flushing = 0;
    if (!this.#pending.length || this.#filling) return;
    const events = this.#pending;
    this.#pending = [];
    this.#emit({ events });
  }

  // What this reader was too slow for is still in the history; what came after it waits meanwhile.
  #fill(gap) {
    const place = [];
    this.#pending.push(place);
    const filling = (this.#filling ?? Promise.resolve()).then(() => missing(this.#hub, gap)).then((found) => {
      this.#pending.splice(this.#pending.indexOf(place), 1, ...found);
      if (this.#filling !== filling) return;
      this.#filling = null;
      this.#flush();
    });
    this.#filling = filling;
  }
}

async function missing(hub, gap) {
  const found = [];
  const end = parse(gap.to).offset;
  let after = gap.from;
  let tries = 0;
  for (let more = true; more && found.length < FILLED; ) {
    try {
      const page = await history(hub, { after, limit: 1000 });
      if (page.gap) found.push([page.gap.to, JSON.stringify({ type: "stream_gap", ...page.gap }), false]);
      for (const [id, data] of page.events) {
        if (parse(id).offset > end) return found;
        found.push([id, data, false]);
      }
      ({ after, more } = page);
      tries = 0;
      if (parse(after)?.offset >= end) return found;
    } catch (trouble) {
      tries += 1;
      if (tries > 5) break;
      await new Promise((done) => setTimeout(done, trouble.again ?? FIRST * 2 ** tries));
    }
  }
  const missed = end - (parse(after)?.offset ?? NaN);
  if (missed !== 0) found.push([gap.to, JSON.stringify({ ...gap, from: after, missed: missed > 0 ? missed : gap.missed }), false]);
  return found;
}

/** A page of the hub's history: as `/api/events` gives it, with `events` and `past` as `[id, data]`, data as it was written. */
export async function history(hub, query) {
  const page = await ask(`${hub}/api/events?${new URLSearchParams(query)}`, {}, exact);
  const written = ({ id, event }) => [id, JSON.stringify(event)];
  return { ...page, events: page.events.map(written), past: (page.past ?? []).map(written) };
}
