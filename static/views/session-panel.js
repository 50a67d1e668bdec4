// One session in figures, over the log: latencies and turns as the hub computes them, its recording, and links to its transcript.

import { button, byId, el, link, text } from "./dom.js";
import { duration, plural } from "../words/format.js";
import { routeAddress, sessionPlace } from "../model/route.js";
import { FORMS, explain, facts, idOf, leftOut, legend, longest, parts, pathOf, roomTranscript, rows, silent } from "../words/sessions.js";

const SHOWN = 200; // turns, the newest ones
const PAUSE = 1000; // ms between two requests
const BEFORE = 0.2; // seconds that are heard before a turn: its events come up to 0.1 s late
const RELEVANT = new Set([
  "transcript", "turn_metrics", "tool_call_finished", "agent_error", "session_ended", "session_started", "agent_speech_finished", "agent_text_unsaid",
  "livekit_room_finished", "recording_available", "trace_available",
]);

export class SessionPanel {
  #run = 0;

  /** `shown(on)`: the panel was opened or closed. */
  constructor(api, shown) {
    this.api = api;
    this.shown = shown;
    this.toggle = byId("session-toggle");
    this.pane = byId("session");
    this.session = null;
    this.open = false;
    this.due = 0;
    this.toggle.onclick = () => this.show(!this.open);
    this.pane.addEventListener("keydown", (event) => event.key === "Escape" && this.show(false));
    this.links = el("div", "links");
    this.title = el("h2");
    this.problem = el("p", "bad");
    this.problem.setAttribute("role", "alert");
    this.facts = el("dl");
    this.audio = Object.assign(el("audio"), { controls: true, preload: "none" });
    this.audio.ariaLabel = "Recording: the user left, the agent right";
    this.heard = ""; // the address of the recording
    this.silent = el("p", "silent");
    this.silent.setAttribute("role", "alert");
    this.table = el("table");
    this.turns = el("ol");
    this.turns.setAttribute("role", "list");
    this.legend = el("p", "legend");
    const close = button("Close", () => this.show(false));
    this.pane.append(el("div", "head", this.title, close), this.problem, this.facts, this.audio, this.silent, this.links, this.table, this.legend, this.turns);
  }

  /** Open or close it. */
  show(on, quiet = false) {
    if (on === this.open) return;
    this.open = on;
    this.pane.hidden = !on || this.session === null;
    this.toggle.setAttribute("aria-pressed", String(on));
    if (on) this.#load();
    else if (this.pane.contains(document.activeElement)) this.toggle.focus();
    if (!quiet) this.shown(on);
  }

  /** `session`: the one that the page shows; null if it shows several or none. */
  render(session) {
    this.toggle.hidden = session === null;
    const changed = session?.key !== this.session?.key;
    this.session = session;
    if (!changed) return;
    if (session === null) {
      this.pane.hidden = true;
      return;
    }
    this.pane.hidden = !this.open;
    this.#hear(null);
    this.#clear();
    this.#load();
  }

  /** A live event of this session. */
  take(event) {
    if (!this.open || !this.session || this.due || !RELEVANT.has(event.type)) return;
    if (event.session !== undefined && event.session !== this.session.name) return;
    this.due = setTimeout(() => this.#load(), PAUSE);
  }

  #clear() {
    text(this.problem, "");
    for (const part of [this.facts, this.links, this.table, this.legend, this.turns]) part.replaceChildren();
    text(this.title, [this.session.room ?? "no room", this.session.name].filter(Boolean).join(" · "));
  }

  async #load() {
    clearTimeout(this.due);
    this.due = 0;
    if (!this.open || !this.session) return;
    this.#run += 1;
    const run = this.#run;
    const { session } = this;
    let found = null;
    let problem = "";
    try {
      found = await this.api.get(pathOf(session));
    } catch (error) {
      problem = error.message;
    }
    if (run !== this.#run || session !== this.session) return;
    text(this.problem, problem);
    if (found) this.#fill(found);
  }

  #fill(found) {
    this.#clear();
    this.#hear(found.recording);
    this.facts.append(...facts(found).flatMap(([name, value]) => [el("dt", "", name), el("dd", "", value)]));
    const { room, name } = this.session;
    const own = Object.assign(el("a", "", "Open with sound and waits on one time axis"), { href: routeAddress(location.href, { view: "session", ...sessionPlace({ id: idOf(this.session), room, session: name }) }, window.eventHub.base) });
    own.dataset.to = "session";
    this.links.append(el("p", "", own));
    this.#link("Transcript: ", (form) => pathOf(this.session, `/transcript.${form}`));
    if (room !== null) this.#link("Transcript of the room: ", (form) => roomTranscript(room, form));
    const table = rows(found);
    if (table.length) {
      const head = el("tr", "", ...["Latency", "median", "p95", "max", "count"].map((name) => el("th", "", name)));
      this.table.append(el("thead", "", head), el("tbody", "", ...table.map((row) => this.#row(row))));
    }
    if (found.trace) this.links.append(this.#uploads(found.trace));
    const newest = found.turns.slice(-SHOWN);
    const most = longest(newest);
    const hidden = found.counts.turns - newest.length;
    this.turns.append(...newest.map((turn) => this.#turn(turn, most, found.recording)).reverse());
    if (hidden > 0) this.turns.append(el("li", "aside", `${plural(hidden, "older turn is", "older turns are")} not shown.`));
    this.legend.append(...legend(newest).flatMap(([name, label]) => [el("i", `part ${name}`), `${label} `]));
  }

  #link(label, path) {
    this.links.append(el("p", "", label, ...FORMS.map((form) => link(form, this.api.address(path(form))))));
  }

  /** Offer the recording; one that is playing goes on. */
  #hear(recording) {
    const url = recording ? this.api.address(recording.url) : "";
    this.audio.hidden = !url;
    if (url === this.heard) return;
    this.heard = url;
    text(this.silent, "");
    this.audio.onerror = () => url && this.#explain(recording.url, url);
    this.audio.onplaying = () => text(this.silent, "");
    if (url) this.audio.src = url;
    else this.audio.removeAttribute("src");
  }

  /** Say why the recording does not play: most likely it was erased. */
  async #explain(path, url) {
    let error = null;
    try {
      await this.api.check(path);
    } catch (failure) {
      error = failure;
    }
    if (url === this.heard) text(this.silent, silent(error));
  }

  #uploads({ url }) {
    const logs = url.replace(/trace$/, "logs");
    return el("p", "", "Uploaded by the agent: ", link("spans", this.api.address(url)), link("log", this.api.address(logs)));
  }

  /** A button that plays the recording from `at`, epoch seconds. */
  #playFrom(at, recording) {
    const offset = at - recording.started - BEFORE;
    const made = button("▶", () => {
      this.audio.currentTime = Math.max(0, offset);
      this.audio.play().catch(() => {}); // onerror says why
    }, "Play from here");
    made.ariaLabel = made.title;
    return made;
  }

  #row([words, name, ...values]) {
    const made = el("tr", "", el("th", "", words), ...values.map((value) => el("td", "", value)));
    made.title = name;
    return made;
  }

  #turn(turn, most, recording) {
    const { user, agent, latency } = turn;
    const total = latency?.total === undefined ? "" : duration(latency.total);
    const head = el("div", "head", el("span", "n", String(turn.number)), el("span", "words", user?.text || (agent ? "(no question)" : "(not understood)")), el("b", "", total));
    if (recording?.started !== undefined && turn.began !== undefined) head.prepend(this.#playFrom(turn.began, recording));
    const answer = el("p", "answer", agent?.text ?? "");
    if (agent?.interrupted) answer.append(" ", el("span", "mark", "cut off"));
    const bar = el("div", "bar", ...parts(turn).map(({ name, label, seconds }) => this.#part(name, label, seconds / most)));
    bar.setAttribute("role", "img");
    bar.ariaLabel = explain(turn) || "latency unknown";
    bar.title = explain(turn);
    const made = el("li", "turn", head, answer, ...(parts(turn).length ? [bar] : []));
    if (turn.errors) answer.append(" ", el("span", "lost", plural(turn.errors, "error")));
    const omitted = leftOut(turn);
    if (omitted) answer.append(" ", el("span", "lost", omitted));
    return made;
  }

  #part(name, label, share) {
    const made = el("i", `part ${name}`, share > 0.05 + label.length * 0.015 ? label : "");
    made.style.width = `${(share * 100).toFixed(2)}%`;
    return made;
  }
}
