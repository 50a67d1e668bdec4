// The agents that the hub has started. The list is fetched when an event reports a change, every second while an agent
// starts or stops, and not otherwise.

import { changing } from "../words/agents.js";

const RELEVANT = new Set(["agent_ready", "agent_error", "agent_process_started", "agent_process_exited"]);
const SOON = 100; // ms after an event, since several arrive together
const AGAIN = 1000; // ms, while an agent starts or stops

export class Agents {
  #fetching = null;
  #next = null;
  #timer = 0;
  #due = Infinity;
  #watchers = new Set();

  /** `api`: the hub's `Api`. */
  constructor(api) {
    this.api = api;
    this.list = []; // as in /api/agent/status, newest first
    this.known = false; // whether the list was fetched
    this.error = null; // why it could not be fetched
    this.available = false; // whether this hub can start agents
    this.live = false; // whether the stream is open
  }

  /** Call `watcher()` after each change. Returns a function that stops this. */
  watch(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** The status of the connection to the hub has changed: see `Source`. */
  connection({ state, reason, config }) {
    const was = this.live;
    this.live = state === "live";
    if (config) this.available = Boolean(config.features?.includes("agent"));
    if (was && !this.live) this.error = reason || "The hub is unreachable";
    this.#notify();
    if (this.live && !was && this.available) this.refresh();
  }

  /** Take a live event. */
  take(event) {
    if (this.available && RELEVANT.has(event.type)) this.#soon(SOON);
  }

  /** Fetch the list, one request at a time. Resolves with a list no older than this call; never rejects. */
  refresh() {
    if (this.#fetching) {
      this.#next ??= this.#fetching.then(() => {
        this.#next = null;
        return this.refresh();
      });
      return this.#next;
    }
    clearTimeout(this.#timer);
    this.#due = Infinity;
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = null;
      if (this.live && this.list.some(changing)) this.#soon(AGAIN);
    });
    return this.#fetching;
  }

  /** Start an agent: `{mode?, room?, instructions?}`. Returns the hub's response; throws a `HubError`. */
  async start(body = {}) {
    const response = await this.api.post("/api/agent/start", body);
    await this.refresh();
    return response;
  }

  async stop(id) {
    const response = await this.api.post("/api/agent/stop", { agent_id: id });
    await this.refresh();
    return response;
  }

  /** Wait until `find(list)` returns something, and return it. `signal`: an AbortSignal that ends the wait. */
  async until(find, signal) {
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const check = () => {
        let result;
        try {
          result = find(this.list);
        } catch (error) {
          stop();
          reject(error);
        }
        if (!result) return;
        stop();
        resolve(result);
      };
      const stop = this.watch(check);
      signal?.addEventListener("abort", () => {
        stop();
        reject(signal.reason);
      });
      check();
    });
  }

  // Refreshes that are due soon become one, at the earliest time.
  #soon(wait) {
    const due = Date.now() + wait;
    if (due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => this.refresh(), wait);
  }

  async #fetch() {
    try {
      this.list = (await this.api.get("/api/agent/status")).agents;
      this.known = true;
      this.error = null;
    } catch (error) {
      this.error = error.message;
    }
    this.#notify();
  }

  #notify() {
    for (const watcher of [...this.#watchers]) watcher();
  }
}
