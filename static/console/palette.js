// Search from anywhere: a dialog that finds sessions by what was said or by name, and the views. And the list of keys.

import { sessionPlace } from "../model/route.js";
import { el } from "../views/dom.js";
import { clock, day } from "../words/format.js";
import { marked } from "../words/session-list.js";

const TYPING = 200; // ms
const FOUND = 8; // sessions
const VIEWS = [["live", "Live"], ["sessions", "Sessions"], ["trends", "Trends"], ["compare", "Compare"], ["errors", "Errors"], ["events", "Events"], ["agents", "Agents"], ["talk", "Talk"]];
const KEYS = [
  ["/ or Ctrl+K", "search sessions, or go to a view"], ["?", "these keys"], ["j, k", "next and previous turn, of a session"], ["Space", "play or pause the recording"],
  ["←, →", "5 s back, or on"], ["↑, ↓, Enter", "move in a list, and open"], ["x", "in the list of sessions: select, to compare"], ["Esc", "close"],
];

export class Palette {
  #run = 0;
  #options = [];
  #at = 0;

  constructor({ api, router }) {
    Object.assign(this, { api, router });
    this.input = Object.assign(el("input"), { type: "text", placeholder: "Search what was said, a session, a room, or a view", ariaLabel: "Search", autocomplete: "off", spellcheck: false, maxLength: 256 });
    this.list = Object.assign(el("ul"), { id: "palette-list" });
    this.list.setAttribute("role", "listbox");
    this.list.ariaLabel = "Results";
    for (const [name, value] of Object.entries({ role: "combobox", "aria-expanded": "true", "aria-controls": this.list.id, "aria-autocomplete": "list" })) this.input.setAttribute(name, value);
    this.note = el("p", "aside");
    this.note.setAttribute("role", "status");
    this.dialog = Object.assign(el("dialog", "palette", this.input, this.list, this.note), { ariaLabel: "Search" });
    const rows = KEYS.flatMap(([key, does]) => [el("dt", "", el("kbd", "", key)), el("dd", "", does)]);
    this.help = Object.assign(el("dialog", "keys", el("h2", "", "Shortcuts"), el("dl", "", ...rows), el("form", "actions", Object.assign(el("button", "", "Close"), { type: "submit" }))), { ariaLabel: "Shortcuts" });
    this.help.querySelector("form").method = "dialog";
    document.body.append(this.dialog, this.help);
    this.input.oninput = () => this.#typed();
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    document.addEventListener("keydown", (event) => this.#global(event));
  }

  open() {
    if (this.dialog.open) return;
    this.input.value = "";
    this.dialog.showModal();
    this.#show([], "");
  }

  #global(event) {
    const command = (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k";
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (!command && (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]"))) return;
    if (command || event.key === "/") this.open();
    else if (event.key === "?") this.help.showModal();
    else return;
    event.preventDefault();
  }

  #typed() {
    clearTimeout(this.timer);
    this.#run += 1;
    const words = this.input.value.trim();
    this.#show([], words);
    if (words) this.timer = setTimeout(() => this.#search(words, this.#run), TYPING);
  }

  async #search(words, run) {
    try {
      const { sessions } = await this.api.get(`/api/sessions?${new URLSearchParams({ q: words, limit: FOUND })}`);
      if (run === this.#run) this.#show(sessions, words, sessions.length ? "" : "No session matches.");
    } catch (error) {
      if (run === this.#run) this.#show([], words, error.message);
    }
  }

  #show(sessions, words, note = "") {
    const views = VIEWS.filter(([, label]) => label.toLowerCase().startsWith(words.toLowerCase()));
    this.#options = [
      ...sessions.map((session) => this.#session(session)),
      ...(words ? [{ label: [`All sessions with “${words}”`], act: () => this.router.go("sessions", { fields: { q: words } }) }] : []),
      ...views.map(([view, label]) => ({ label: [label], hint: "view", act: () => this.router.go(view) })),
    ];
    this.#at = 0;
    this.list.replaceChildren(...this.#options.map(({ label, hint = "" }, index) => {
      const made = Object.assign(el("li", "", el("span", "label", ...label), el("span", "hint", hint)), { id: `palette-${index}` });
      made.setAttribute("role", "option");
      made.onclick = () => this.#choose(index);
      return made;
    }));
    this.note.textContent = note;
    this.#mark();
  }

  #session(found) {
    const { room, session, started, matches } = found;
    const [match] = matches ?? [];
    const words = match ? [" ", ...marked(match.text).map(([part, match]) => (match ? el("mark", "", part) : part))] : [];
    return {
      label: [el("b", "", [room, session].filter(Boolean).join(" · ") || "no room"), ...words],
      hint: [day(started), clock(started).slice(0, 5)].join(" "),
      act: () => this.router.go("session", sessionPlace(found, match?.turn)),
    };
  }

  #mark() {
    [...this.list.children].forEach((item, index) => item.setAttribute("aria-selected", String(index === this.#at)));
    const item = this.list.children[this.#at];
    if (item) this.input.setAttribute("aria-activedescendant", item.id);
    else this.input.removeAttribute("aria-activedescendant");
    item?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.#options.length) {
      this.#at = (this.#at + step + this.#options.length) % this.#options.length;
      this.#mark();
    } else if (event.key === "Enter") this.#choose(this.#at);
    else return;
    event.preventDefault();
  }

  #choose(index) {
    const option = this.#options[index];
    if (!option) return;
    this.dialog.close();
    option.act();
  }
}
