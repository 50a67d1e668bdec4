// Captions: the last lines of the conversation, large. A live region, so that a screen reader reads each line once, when it
// is complete.

import { audible, speaker, unsaid } from "../model/agent-text.js";
import { byId, el, text } from "./dom.js";

const KEPT = 8; // lines; those that fit are visible
const INTERVAL = 200; // ms between updates of a line while the agent speaks it

// An agent's line is complete once its transcript says what was heard.
const complete = (item) => !item.interim && (item.role !== "agent" || (item.said !== null && !item.generating));

const spoken = (item) => item.kind === "said" && !item.gone && !unsaid(item);

export class Captions {
  /** `toggled(on)`: captions were switched on or off. */
  constructor(toggled) {
    this.box = byId("captions");
    this.lines = byId("caption-lines");
    this.shown = new Map(); // item → its line
    this.newest = 0; // the serial of the last item that was shown
    this.started = new Map(); // item → when the page saw its speech start, ms
    this.timer = 0;
    byId("captions-full").onclick = () => this.#fullScreen();
    byId("captions-leave").onclick = () => this.#leave();
    document.addEventListener("fullscreenchange", () => document.fullscreenElement || this.#leave());
    addEventListener("keydown", (event) => event.key === "Escape" && this.#leave());
    const toggle = byId("captions-toggle");
    toggle.onclick = () => {
      this.show(toggle.getAttribute("aria-pressed") !== "true");
      toggled(toggle.getAttribute("aria-pressed") === "true");
    };
  }

  show(on) {
    byId("captions-toggle").setAttribute("aria-pressed", String(on));
    byId("conversation-pane").classList.toggle("uncaptioned", !on);
  }

  #fullScreen() {
    this.box.classList.add("full");
    this.box.requestFullscreen?.().catch(() => {}); // without permission it fills the page
    byId("captions-leave").focus();
  }

  #leave() {
    if (!this.box.classList.contains("full")) return;
    this.box.classList.remove("full");
    if (document.fullscreenElement) document.exitFullscreen();
    byId("captions-full").focus();
  }

  /** Show other lines: old ones, which screen readers do not read. */
  reset(items) {
    this.lines.ariaLive = "off";
    this.lines.replaceChildren();
    this.shown.clear();
    this.started.clear();
    this.newest = 0;
    for (const item of items.filter(spoken).slice(-KEPT)) this.#show(item);
    this.#follow();
    setTimeout(() => (this.lines.ariaLive = "polite"), 500);
  }

  render({ added, changed, removed }, wants) {
    for (const item of removed) this.#remove(item);
    for (const item of new Set([...added, ...changed])) {
      if (spoken(item) && wants(item)) this.#show(item);
      else this.#remove(item);
    }
    while (this.shown.size > KEPT) this.#remove(this.shown.keys().next().value);
    this.#follow();
  }

  // The text is ahead of the voice, so the line of an agent that speaks grows with time.
  #follow() {
    clearTimeout(this.timer);
    const speaking = [...this.shown.keys()].filter((item) => item.speaking);
    if (!speaking.length) return;
    this.timer = setTimeout(() => {
      for (const item of speaking) this.#show(item);
      this.#follow();
    }, INTERVAL);
  }

  #words(item) {
    if (item.speaking && !this.started.has(item)) this.started.set(item, performance.now());
    const elapsed = (performance.now() - (this.started.get(item) ?? performance.now())) / 1000;
    const words = audible(item, elapsed);
    return item.role === "agent" && item.interrupted && words ? `${words} —` : words;
  }

  #show(item) {
    const value = this.#words(item);
    let line = this.shown.get(item);
    if (!line && (!value || item.serial <= this.newest)) return; // a line that has scrolled out does not return
    this.newest = Math.max(this.newest, item.serial);
    const done = complete(item);
    if (!line || (done && line.ariaHidden === "true")) {
      // A growing line is hidden from screen readers. Once complete it becomes a new element, which they read.
      const fresh = el("p", "", el("b"), el("span"));
      fresh.ariaHidden = done ? null : "true";
      if (line) line.replaceWith(fresh);
      else this.lines.append(fresh);
      this.shown.set(item, fresh);
      line = fresh;
    }
    line.className = `${item.role ?? ""}${done ? "" : " interim"}`;
    text(line.firstChild, speaker(item));
    text(line.lastChild, value.slice(-1000));
  }

  #remove(item) {
    this.shown.get(item)?.remove();
    this.shown.delete(item);
    this.started.delete(item);
  }
}
