// Captions: the last lines of what is being said, large; a live region, so that a screen reader says each line once, when
// it is complete.

import { parts, speaker } from "./agent-text.js";
import { byId, el, text } from "./dom.js";

const KEPT = 8; // lines; as many as fit are seen

// An agent's line is complete when it is known what was really said.
const complete = (item) => !item.interim && (item.role !== "agent" || (item.said !== null && !item.generating));

const spoken = (item) => item.kind === "said" && !item.gone;

const words = (item) => {
  if (item.role !== "agent") return item.text;
  const { spoken, rest } = parts(item);
  return item.interrupted ? `${spoken} —` : spoken + rest;
};

export class Captions {
  constructor(chosen) {
    this.box = byId("captions");
    this.lines = byId("caption-lines");
    this.shown = new Map(); // item → its line
    this.newest = 0; // the serial of the last item that was shown
    byId("captions-full").onclick = () => this.#fullScreen();
    byId("captions-leave").onclick = () => this.#leave();
    document.addEventListener("fullscreenchange", () => document.fullscreenElement || this.#leave());
    addEventListener("keydown", (event) => event.key === "Escape" && this.#leave());
    const toggle = byId("captions-toggle");
    toggle.onclick = () => {
      this.show(toggle.getAttribute("aria-pressed") !== "true");
      chosen(toggle.getAttribute("aria-pressed") === "true");
    };
  }

  show(on) {
    byId("captions-toggle").setAttribute("aria-pressed", String(on));
    byId("conversation-pane").classList.toggle("uncaptioned", !on);
  }

  #fullScreen() {
    this.box.classList.add("full");
    this.box.requestFullscreen?.().catch(() => {}); // then it fills the page
    byId("captions-leave").focus();
  }

  #leave() {
    if (!this.box.classList.contains("full")) return;
    this.box.classList.remove("full");
    if (document.fullscreenElement) document.exitFullscreen();
    byId("captions-full").focus();
  }

  /** Other lines altogether: nobody has just said them, so no screen reader does. */
  reset(items) {
    this.lines.ariaLive = "off";
    this.lines.replaceChildren();
    this.shown.clear();
    this.newest = 0;
    for (const item of items.filter(spoken).slice(-KEPT)) this.#show(item);
    setTimeout(() => (this.lines.ariaLive = "polite"), 500);
  }

  render({ added, changed, removed }, wants) {
    for (const item of removed) this.#remove(item);
    for (const item of new Set([...added, ...changed])) if (spoken(item) && wants(item)) this.#show(item);
    while (this.shown.size > KEPT) this.#remove(this.shown.keys().next().value);
  }

  #show(item) {
    const value = words(item);
    let line = this.shown.get(item);
    if (!line && (!value || item.serial <= this.newest)) return; // an old line does not come back
    this.newest = Math.max(this.newest, item.serial);
    const done = complete(item);
    if (!line || (done && line.ariaHidden === "true")) {
      // A line that grows is kept from screen readers; complete, it is a new one, which they say.
      const made = el("p", "", el("b"), el("span"));
      made.ariaHidden = done ? null : "true";
      if (line) line.replaceWith(made);
      else this.lines.append(made);
      this.shown.set(item, made);
      line = made;
    }
    line.className = `${item.role ?? ""}${done ? "" : " interim"}`;
    text(line.firstChild, speaker(item));
    text(line.lastChild, value.slice(-1000));
  }

  #remove(item) {
    this.shown.get(item)?.remove();
    this.shown.delete(item);
  }
}
