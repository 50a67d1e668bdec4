// One session: its sound, speech and waits on one time axis, the transcript in step with it, and the turn that is chosen.

import { button, copy, el, link, text, toast } from "../views/dom.js";
import { clock, day, duration, plural } from "../words/format.js";
import { doing, minutes, problems, spent, waitOf } from "../words/session-list.js";
import { FORMS } from "../words/sessions.js";
import { slowness } from "../words/trends.js";
import { sideField } from "../model/comparison.js";
import { offset, span, turnAt } from "../model/timeline.js";
import { Axis } from "./axis.js";
import { TurnDetail } from "./turn-detail.js";
import { TurnList } from "./turn-list.js";

const PEAKS = 20_000;
const LIVE = 1500; // ms between two requests because of live events
const STEP = 5; // s
const READING = 5000; // ms after a scroll, in which the transcript does not follow the sound

export default class SessionView {
  #id = null;
  #fields = {};
  #session = null;
  #run = 0;
  #due = 0;
  #turn = null;
  #heard = ""; // the address of the recording
  #uploaded = { spans: null, logs: null };
  #sought = null; // the time that the address names, until the sound is there
  #scrolled = 0; // when the reader last scrolled, ms

  constructor({ api, router, status }) {
    Object.assign(this, { api, router, status });
    this.heading = el("h2");
    this.state = el("span", "state");
    this.facts = el("p", "facts");
    this.links = el("p", "links");
    this.problem = el("p", "nothing");
    this.problem.setAttribute("role", "status");
    this.audio = Object.assign(el("audio"), { preload: "metadata" });
    this.axis = new Axis({ play: (at) => this.#play(at, false), choose: (turn) => this.#choose(turn) });
    this.turns = new TurnList({ choose: (turn) => this.#choose(turn), play: (at) => this.#play(at, true) });
    this.detail = new TurnDetail({ annotate: (fields) => this.#annotate(fields), publish: () => document.body.dataset.publish !== "false" });
    this.body = el("div", "session-body", this.#controls(), this.axis.element, el("div", "columns", el("div", "transcript scroll", this.turns.element), this.detail.element));
    this.body.hidden = true;
    this.element = el("section", "view session-view", el("div", "session-head", this.heading, this.state), this.facts, this.links, this.problem, this.body, this.audio);
    this.scroller = this.body.querySelector(".transcript");
    this.scroller.addEventListener("wheel", () => (this.#scrolled = Date.now()), { passive: true });
    document.addEventListener("keydown", (event) => this.#key(event));
    this.audio.ontimeupdate = () => this.#tick();
    this.audio.onplay = this.audio.onpause = () => this.#playing();
    this.audio.onerror = () => this.#unheard();
    this.audio.onloadedmetadata = () => this.#seekSought();
  }

  #controls() {
    this.button = button("▶ Play", () => this.#toggle(), "Play or pause: space");
    this.button.className = "primary play";
    this.clock = el("output", "clock", "0:00");
    this.silence = el("span", "quiet");
    const zoom = (label, title, act) => {
      const made = button(label, act, title);
      made.ariaLabel = title;
      return made;
    };
    return el(
      "div", "player", this.button, this.clock, this.silence, el("span", "grow"), zoom("−", "Zoom out", () => this.axis.zoomBy(0.5)), zoom("+", "Zoom in", () => this.axis.zoomBy(2)),
      zoom("Whole", "Show the whole session", () => this.axis.fit()), zoom("Turn", "Zoom to the turn", () => this.#turn && this.axis.zoomTo(this.#turn)), button("Copy link to this moment", () => this.#share()),
    );
  }

  // -- the router's ----------------------------------------------------------------------------------------------------

  show({ id, fields }) {
    const other = id !== this.#id || (fields.room ?? "") !== (this.#fields.room ?? "");
    this.#id = id;
    this.#fields = fields;
    if (other) this.#reset();
    if (other || !this.#session) this.#load();
    else this.#place();
  }

  hide() {
    this.audio.pause();
    clearTimeout(this.#due);
    this.#due = 0;
  }

  take(event) {
    const session = this.#session;
    if (!session || this.#due || (event.session !== undefined && event.session !== session.session) || (event.room ?? null) !== session.room) return;
    this.#due = setTimeout(() => {
      this.#due = 0;
      this.#load();
    }, LIVE);
  }

  get title() {
    return this.#session ? [this.#session.room, this.#session.session].filter(Boolean).join(" · ") : "Session";
  }

  // -- loading ---------------------------------------------------------------------------------------------------------

  #reset() {
    this.#session = this.#turn = null;
    this.#uploaded = { spans: null, logs: null };
    this.#sought = this.#fields.t === undefined ? null : Number(this.#fields.t);
    this.#hear(null);
    this.axis.wave(null);
    this.turns.clear();
    this.body.hidden = true;
    for (const part of [this.heading, this.state, this.facts, this.links]) part.replaceChildren();
    text(this.problem, "Loading …");
    this.problem.classList.remove("bad");
  }

  #path(below = "", more = {}) {
    const query = new URLSearchParams({ ...(this.#fields.room ? { room: this.#fields.room } : {}), ...more }).toString();
    return `/api/sessions/${encodeURIComponent(this.#id)}${below}${query && `?${query}`}`;
  }

  async #load() {
    this.#run += 1;
    const run = this.#run;
    let found;
    try {
      found = await this.api.get(this.#path());
    } catch (error) {
      if (run === this.#run && !this.#session) this.#refuse(error);
      return;
    }
    if (run !== this.#run) return;
    const first = !this.#session;
    const before = this.#session;
    this.#session = found;
    text(this.problem, "");
    this.body.hidden = false;
    this.#draw();
    if (first || JSON.stringify(before.recording) !== JSON.stringify(found.recording)) this.#hear(found.recording);
    if (first || JSON.stringify(before.trace) !== JSON.stringify(found.trace)) this.#loadUploads(run);
    this.router.retitle();
    if (first) this.#place();
    else this.#detail();
  }

  #refuse(error) {
    const { problem } = error;
    this.problem.classList.add("bad");
    if (problem?.code === "unknown_session") {
      this.problem.replaceChildren(`No such session: ${problem.detail}. `, this.router.link("All sessions", "sessions"));
    } else if (problem?.code === "ambiguous_session") {
      const rooms = (problem.rooms ?? []).flatMap((room) => [" ", this.router.link(room ?? "no room", "session", { id: this.#id, fields: { room: room ?? "" } })]);
      this.problem.replaceChildren(`Several rooms have a session ${this.#id}. Choose the room:`, ...rooms);
    } else text(this.problem, error.message);
  }

  async #loadUploads(run) {
    if (!this.#session.trace) return;
    const [spans, logs] = await Promise.all([this.api.get(this.#path("/trace")), this.api.get(this.#path("/logs", { limit: 5000 }))].map((asked) => asked.catch(() => null)));
    if (run !== this.#run && this.#session === null) return;
    this.#uploaded = { spans: spans?.spans ?? null, logs: logs?.logs ?? null };
    this.#detail();
  }

  // -- drawing ---------------------------------------------------------------------------------------------------------

  get #slow() {
    return this.status().config?.slow ?? [1.5, 3];
  }

  get #now() {
    return Date.now() / 1000 + (this.status().skew ?? 0);
  }

  get #span() {
    const { status, updated } = this.#session;
    const live = status !== "ended" && this.#now - updated < 10;
    return span(this.#session, live ? this.#now : null);
  }

  #draw() {
    const session = this.#session;
    const [words, kind, why] = doing(session, this.#now);
    text(this.heading, this.title);
    text(this.state, words + (session.status === "ended" && session.reason ? `: ${session.reason.replaceAll("_", " ")}` : ""));
    this.state.className = `state ${kind}`;
    this.state.title = why;
    this.#drawFacts(session);
    this.#drawLinks(session);
    const range = this.#span;
    this.axis.element.hidden = range === null;
    if (range) this.axis.show(session, range);
    this.turns.draw(session, this.#slow);
    if (this.#turn) this.#turn = session.turns.find(({ number: n }) => n === this.#turn.number) ?? null;
  }

  #drawFacts(session) {
    const wait = waitOf(session);
    const waits = wait ? [el("span", "", "waits ", duration(wait.median), " median, ", el("b", slowness(wait.p95, this.#slow), duration(wait.p95)), " p95")] : [];
    const agent = [session.agent, session.version].filter(Boolean).join(" ");
    const cost = spent(session);
    this.facts.replaceChildren(
      ...[agent, `${day(session.started)} ${clock(session.started)}`, minutes(session.duration), plural(session.counts.turns, "turn")].filter(Boolean).map((fact) => el("span", "", fact)), ...waits,
      ...problems(session).map(([said, kind]) => el("span", kind, said)), ...(cost ? [el("span", "", cost)] : []), ...session.tags.map((tag) => el("span", "tag", tag)),
      ...(session.partial ? [el("span", "cut", "its beginning is no longer stored")] : []),
    );
  }

  #drawLinks(session) {
    const { room } = session;
    const fields = { room: room ?? "", session: session.session ?? "" };
    this.links.replaceChildren(
      "Transcript ", ...FORMS.flatMap((form) => [link(form, this.api.address(this.#path(`/transcript.${form}`))), " "]), "· ", this.router.link("Events", "events", { fields }), " · ", this.router.link("Live", "live", { fields }),
      " · ", this.router.link("Compare", "compare", { fields: { a: sideField({ kind: "session", id: this.#id, room: this.#fields.room ?? null }) } }),
      ...(session.trace ? [" · ", link("spans", this.api.address(this.#path("/trace"))), " ", link("log", this.api.address(this.#path("/logs")))] : []),
    );
  }

  // -- choosing --------------------------------------------------------------------------------------------------------

  // What the address names.
  #place() {
    const wanted = Number(this.#fields.turn);
    const turn = this.#session.turns.find(({ number: n }) => n === wanted) ?? null;
    if (turn?.number !== this.#turn?.number || !turn) this.#mark(turn, true);
  }

  #choose(turn) {
    if (turn.number === this.#turn?.number) return;
    this.#mark(turn, false);
    this.router.go("session", { id: this.#id, fields: { ...this.#fields, turn: turn.number, t: "" } }, { replace: true });
  }

  #mark(turn, bring) {
    this.#turn = turn;
    this.turns.mark(turn, { bring: bring && turn !== null });
    this.axis.mark(turn, { show: bring });
    this.#detail();
  }

  #detail() {
    if (this.#session) this.detail.show({ session: this.#session, turn: this.#turn, slow: this.#slow, ...this.#uploaded });
  }

  #move(step) {
    const { turns } = this.#session;
    const at = this.#turn ? turns.findIndex(({ number: n }) => n === this.#turn.number) + step : step > 0 ? 0 : turns.length - 1;
    if (!turns[at]) return;
    this.#choose(turns[at]);
    this.axis.mark(turns[at]);
    this.turns.mark(turns[at], { focus: true });
  }

  // -- sound -----------------------------------------------------------------------------------------------------------

  get #recorded() {
    return this.#heard && Number.isFinite(this.#session?.recording?.started) ? this.#session.recording.started : null;
  }

  async #hear(recording) {
    const url = recording ? this.api.address(this.#path("/audio")) : "";
    this.button.disabled = !url;
    text(this.silence, url ? "" : "No recording: docs/recordings.md says how to get one");
    if (url === this.#heard) return;
    this.#heard = url;
    if (!url) {
      this.audio.removeAttribute("src");
      this.axis.playing(null);
      return;
    }
    this.audio.src = url;
    const run = this.#id;
    try {
      const peaks = await this.api.get(this.#path("/audio/peaks", { points: PEAKS }));
      if (run === this.#id) this.axis.wave({ ...peaks, started: recording.started });
    } catch {
      // the sound may be there all the same
    }
  }

  #unheard() {
    if (!this.#heard) return;
    this.button.disabled = true;
    this.api.get(this.#path("/audio/marks")).then(
      () => text(this.silence, "The browser cannot play this recording"),
      (error) => text(this.silence, error.problem?.detail ?? error.message),
    );
  }

  /** Play from `at`, epoch seconds; without `start`, go on as before. */
  #play(at, start) {
    const began = this.#recorded;
    if (began === null) return;
    this.audio.currentTime = Math.max(0, at - began);
    this.#scrolled = 0;
    if (start) this.audio.play().catch((error) => toast(error.message));
    this.#tick();
  }

  #toggle() {
    if (!this.audio.paused) this.audio.pause();
    else this.audio.play().catch((error) => toast(error.message));
  }

  #seekSought() {
    if (this.#sought === null || !Number.isFinite(this.#sought) || this.#recorded === null) return;
    const { started } = this.#session;
    this.#play((started ?? this.#recorded) + this.#sought, false);
    this.#sought = null;
  }

  #playing() {
    text(this.button, this.audio.paused ? "▶ Play" : "❚❚ Pause");
    this.element.classList.toggle("playing", !this.audio.paused);
    if (!this.audio.paused) this.#frame();
  }

  // Smoother than the browser's own four a second.
  #frame() {
    this.#tick();
    if (!this.audio.paused && !this.element.hidden) requestAnimationFrame(() => this.#frame());
  }

  #tick() {
    const began = this.#recorded;
    if (began === null) return;
    const at = began + this.audio.currentTime;
    text(this.clock, offset(at - (this.#session.started ?? began)));
    this.axis.playing(at, !this.audio.paused);
    this.turns.heard(turnAt(this.#session.turns, at), at, !this.audio.paused && Date.now() - this.#scrolled > READING);
  }

  // -- what the reader does --------------------------------------------------------------------------------------------

  #share() {
    const began = this.#recorded;
    const { started } = this.#session;
    const at = began === null ? null : began + this.audio.currentTime - (started ?? began);
    const fields = { ...this.#fields, ...(this.#turn ? { turn: this.#turn.number } : {}), ...(at === null ? {} : { t: at.toFixed(1) }) };
    copy(this.router.href("session", { id: this.#id, fields }), "Link");
  }

  async #annotate(fields) {
    const { room, session } = this.#session;
    try {
      await this.api.publish({ type: "annotation", ...(room !== null ? { room } : {}), ...(session !== null ? { session } : {}), ...fields });
    } catch (error) {
      toast(error.message);
      return false;
    }
    await this.#load();
    return true;
  }

  #key(event) {
    if (this.element.hidden || event.target.closest("input, textarea, select, dialog, [popover], .axis") || event.altKey || event.ctrlKey || event.metaKey || !this.#session) return;
    const act = {
      j: () => this.#move(1), k: () => this.#move(-1), ArrowDown: () => this.#move(1), ArrowUp: () => this.#move(-1),
      ArrowRight: () => this.#play(this.#recorded + this.audio.currentTime + STEP, false), ArrowLeft: () => this.#play(this.#recorded + this.audio.currentTime - STEP, false),
      " ": () => !this.button.disabled && this.#toggle(),
    }[event.key];
    if (!act || (event.key === " " && event.target.matches("button, summary, a"))) return;
    event.preventDefault();
    act();
  }
}
