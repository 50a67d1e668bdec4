// The last lines of an agent's log, updated while they are on screen.

import { refusal } from "../words/agents.js";
import { button, copy, el, Follow, text } from "./dom.js";

const LINES = 200;
const INTERVAL = 1000; // ms between two requests

export class AgentLog {
  #timer = 0;
  #requests = 0;

  /** `active()`: whether to keep asking: the agent is running and its log is on screen. */
  constructor(api, id, active) {
    this.api = api;
    this.path = `/api/agent/logs?${new URLSearchParams({ agent_id: id, lines: LINES })}`;
    this.active = active;
    this.pre = el("pre", "scroll");
    this.pre.tabIndex = 0;
    this.pre.setAttribute("role", "region");
    this.pre.setAttribute("aria-label", `Log of ${id}`);
    const newest = button("↓ Newest", () => {});
    newest.className = "float";
    newest.hidden = true;
    const copyAll = button("Copy", () => copy(this.pre.textContent, "Log"));
    this.note = el("span", "word", "loading");
    this.element = el("div", "agent-log", el("div", "log-tools", this.note, copyAll), el("div", "stage", this.pre, newest));
    this.follow = new Follow(this.pre, newest);
    this.closed = false;
    this.load();
  }

  close() {
    this.closed = true;
    clearTimeout(this.#timer);
    this.element.remove();
  }

  async load() {
    clearTimeout(this.#timer);
    const request = (this.#requests += 1);
    const active = this.active(); // asked before the request, so that the last lines are fetched, too
    try {
      const { lines } = await this.api.get(this.path);
      if (request !== this.#requests) return; // a later one is under way
      text(this.pre, lines.join("\n"));
      text(this.note, lines.length ? (lines.length < LINES ? "" : `the last ${LINES} lines`) : "The log is empty.");
      this.follow.keep();
    } catch (error) {
      text(this.note, refusal(error));
    }
    if (active && !this.closed && request === this.#requests) this.#timer = setTimeout(() => this.load(), INTERVAL);
  }
}
