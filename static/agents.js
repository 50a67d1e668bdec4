// The agents that the hub has started, as its status says: asked for when something happens to one of them, each second
// while something is about to, and not otherwise. What is seen of them is in agents-panel.js.

import { moving } from "./agent-words.js";
import { ask } from "./source.js";

const TELLING = new Set(["agent_ready", "agent_error", "agent_process_started", "agent_process_exited"]);
const SOON = 100; // ms after an event: several come together
const AGAIN = 1000; // ms, while something starts or stops

export class Agents {
  #asking = null;
  #next = null;
  #timer = 0;
  #due = Infinity;
  #watchers = new Set();

  constructor(hub) {
    this.hub = hub;
    this.list = []; // as /api/agent/status has them, newest first
    this.known = false; // whether that is so: the hub has been asked
    this.error = null; // why the hub could not be asked
    this.available = false; // whether this hub starts agents
    this.live = false; // whether its stream is here
  }

  /** Have `see()` called after each change. Returns what ends that. */
  watch(see) {
    this.#watchers.add(see);
    return () => this.#watchers.delete(see);
  }

  /** The connection to the hub has changed: `state` and the hub's `config`, as `Source` has them. */
  connection({ state, reason, config }) {
    const was = this.live;
    this.live = state === "live";
    if (config) this.available = Boolean(config.features?.includes("agent"));
    if (was && !this.live) this.error = reason || "The hub is away";
    this.#tell();
    if (this.live && !was && this.available) this.refresh();
  }

  /** A live event has come over the stream. */
  take(event) {
    if (this.available && TELLING.has(event.type)) this.#soon(SOON);
  }

  /** Ask the hub anew; one request at a time. Done when the list is as it was after this call, or later. Never fails. */
  refresh() {
    if (this.#asking) {
      this.#next ??= this.#asking.then(() => {
        this.#next = null;
        return this.refresh();
      });
      return this.#next;
    }
    clearTimeout(this.#timer);
    this.#due = Infinity;
    this.#asking = this.#ask().finally(() => {
      this.#asking = null;
      if (this.live && this.list.some(moving)) this.#soon(AGAIN);
    });
    return this.#asking;
  }

  /** Start an agent: `{mode?, room?, instructions?}`. The hub's answer; throws an error that has its `problem`. */
  async start(body = {}) {
    const answer = await post(`${this.hub}/api/agent/start`, body);
    await this.refresh();
    return answer;
  }

  async stop(id) {
    const answer = await post(`${this.hub}/api/agent/stop`, { agent_id: id });
    await this.refresh();
    return answer;
  }

  /** Wait until `found(list)` is something, and return that. `signal`: ends the waiting, with an error. */
  async until(found, signal) {
    signal?.throwIfAborted();
    return new Promise((done, failed) => {
      const look = () => {
        let result;
        try {
          result = found(this.list);
        } catch (error) {
          leave();
          failed(error);
        }
        if (!result) return;
        leave();
        done(result);
      };
      const leave = this.watch(look);
      signal?.addEventListener("abort", () => {
        leave();
        failed(signal.reason);
      });
      look();
    });
  }

  // Two wishes are one request, at the earlier time.
  #soon(wait) {
    const due = Date.now() + wait;
    if (due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => this.refresh(), wait);
  }

  async #ask() {
    try {
      this.list = (await ask(`${this.hub}/api/agent/status`)).agents;
      this.known = true;
      this.error = null;
    } catch (error) {
      this.error = error.message;
    }
    this.#tell();
  }

  #tell() {
    for (const see of [...this.#watchers]) see();
  }
}

const post = (url, body) => ask(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
