// All sessions of the hub: searched, filtered, sorted; each leads to its own view.

import { sideField } from "../model/comparison.js";
import { sessionPlace } from "../model/route.js";
import { button, el, text } from "../views/dom.js";
import { clock, duration, fullTime, number, plural } from "../words/format.js";
import { bars, doing, marked, minutes, problems, recently, spent, waitOf } from "../words/session-list.js";
import { moment, RANGES } from "../words/stretches.js";
import { slowness } from "../words/trends.js";
import { Choice, NameFilter, chip } from "./controls.js";
import { Refresher } from "./refresher.js";
import { keepingFocus } from "./roving.js";

const PAGE = 100;
const LIVE = 2_000; // ms between two requests because of live events
const TYPING = 300; // ms
const LINE = { width: 120, height: 18 };
const STATUS = [["", "All"], ["live", "Live"], ["silent", "Silent"], ["ended", "Ended"]];
const HAS = [["error", "Errors"], ["tool_error", "Failed tools"], ["interruption", "Interruptions"], ["recording", "Recording"], ["note", "Notes"]];
const SORTS = [["updated", "newest events"], ["started", "start"], ["duration", "duration"], ["turns", "turns"], ["slowest", "slowest turn"], ["errors", "errors"]];
const SLOW = [["", "any wait"], ["1s", "waits of 1 s"], ["2s", "waits of 2 s"], ["3s", "waits of 3 s"], ["5s", "waits of 5 s"]];
const COLUMNS = [["", "State"], ["", "Session"], ["started", "Began"], ["duration", "Lasted"], ["turns", "Turns"], ["slowest", "Waits"], ["errors", "Problems"], ["", "Tokens"]];
const NAMES = ["q", "room", "agent", "version", "status", "has", "slow", "tag", "since", "until", "sort"];

const keyOf = ({ id, room }) => JSON.stringify([id, room]);

export default class SessionsView {
  #fields = {};
  #asked = "";
  #rows = new Map(); // key → {element, session, drawn}
  #next = null;
  #loading = false;
  #due = 0;
  #chosen = new Map(); // key → session, to compare
  #current = null; // key of the row that is the list's tab stop

  constructor({ api, router, status }) {
    Object.assign(this, { api, router, status });
    this.#controls();
    this.refresher = new Refresher({ load: () => this.#load(), use: (...found) => this.#use(...found), status });
    this.head = el("div", "session-row head");
    this.list = el("ol", "rows");
    this.list.setAttribute("role", "list");
    this.list.ariaLabel = "Sessions";
    this.news = button("", () => this.#top());
    this.news.className = "float news";
    this.news.hidden = true;
    this.note = el("p", "nothing");
    this.note.setAttribute("role", "status");
    this.end = el("p", "aside");
    this.compare = button("Compare", () => this.#compare(), "Choose two sessions");
    this.compare.disabled = true;
    const bar = el("div", "bar", this.search, this.status_.element, ...[...this.names.values()].map(({ element }) => element), this.slow, this.range, this.refresher.element);
    const second = el("div", "bar second", this.has, this.chips, el("span", "grow"), el("label", "labelled", "Sort by ", this.sort), this.compare);
    this.element = el("section", "view scroll sessions", el("h2", "unseen", "Sessions"), bar, second, this.head, this.list, this.note, this.end, this.news);
    this.element.tabIndex = -1;
    this.element.addEventListener("scroll", () => this.#more(), { passive: true });
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("focusin", ({ target }) => this.#focused(target.closest("li")));
  }

  // -- controls ---------------------------------------------------------------------------------------------------------

  #controls() {
    this.search = Object.assign(el("input", "search"), { type: "search", placeholder: "Words that were said, or a name", ariaLabel: "Search sessions by words or names", autocomplete: "off", spellcheck: false, maxLength: 256 });
    this.search.oninput = () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.#go({ q: this.search.value.trim() }, true), TYPING);
    };
    this.status_ = new Choice("Status", STATUS, (status) => this.#go({ status }));
    this.names = new Map(["room", "agent"].map((name) => [name, new NameFilter(name[0].toUpperCase() + name.slice(1), (value) => this.#go({ [name]: value }))]));
    this.slow = this.#select("Longest wait at least", SLOW, (slow) => this.#go({ slow }));
    this.range = this.#select("Active within", [["", "any time"], ...RANGES.slice(0, -1).map(([value, , words]) => [value, words])], (since) => this.#go({ since, until: "" }));
    this.sort = this.#select("Sort by", SORTS, (sort) => this.#go({ sort: sort === "updated" ? "" : sort }));
    this.has = el("div", "has");
    this.has.setAttribute("role", "group");
    this.has.ariaLabel = "Only sessions with";
    this.has.append(...HAS.map(([name, label]) => Object.assign(button(label, () => this.#toggle(name)), { name })));
    this.chips = el("span", "chips");
  }

  #select(label, options, choose) {
    const made = Object.assign(el("select"), { ariaLabel: label });
    made.append(...options.map(([value, words]) => Object.assign(el("option", "", words), { value })));
    made.onchange = () => choose(made.value);
    return made;
  }

  get #has() {
    return (this.#fields.has ?? "").split(",").filter(Boolean);
  }

  #toggle(name) {
    const has = this.#has;
    this.#go({ has: (has.includes(name) ? has.filter((other) => other !== name) : [...has, name]).join(",") });
  }

  #go(some, replace = false) {
    this.router.go("sessions", { fields: { ...this.#fields, ...some } }, { replace });
  }

  #showControls() {
    const { q = "", status = "", slow = "", since = "", until = "", sort = "updated", version, tag } = this.#fields;
    if (document.activeElement !== this.search) this.search.value = q;
    this.status_.show(status);
    for (const [name, filter] of this.names) filter.show(this.#fields[name] ?? "");
    for (const [select, value] of [[this.slow, slow], [this.range, since], [this.sort, sort]]) {
      select.value = value;
      if (select.selectedIndex < 0) select.selectedIndex = 0;
      select.classList.toggle("on", Boolean(value) && select !== this.sort);
    }
    for (const own of this.has.children) own.setAttribute("aria-pressed", String(this.#has.includes(own.name)));
    const stretch = /^\d+(\.\d+)?$/.test(since) || until ? [["since", "until"], [since && `since ${moment(Number(since))}`, until && `until ${moment(Number(until))}`].filter(Boolean).join(", ")] : null;
    const others = [[["version"], version && `version ${version}`], [["tag"], tag && `tag ${tag}`], ...(stretch ? [stretch] : [])].filter(([, words]) => words);
    this.chips.replaceChildren(...others.map(([names, words]) => chip(words, () => this.#go(Object.fromEntries(names.map((name) => [name, ""]))))));
    this.head.replaceChildren(el("span"), ...COLUMNS.map(([name, label]) => {
      if (!name) return el("span", "", label);
      const made = button(label, () => this.#go({ sort: name }), `Sort by ${SORTS.find(([value]) => value === name)[1]}`);
      made.setAttribute("aria-pressed", String(sort === name));
      return made;
    }));
  }

  // -- the router's ----------------------------------------------------------------------------------------------------

  show({ fields }) {
    this.#fields = Object.fromEntries(NAMES.filter((name) => fields[name]).map((name) => [name, fields[name]]));
    this.#showControls();
    const asked = JSON.stringify(this.#fields);
    const again = asked !== this.#asked;
    this.#asked = asked;
    if (again) {
      this.list.classList.add("stale");
      this.news.hidden = true;
    }
    this.refresher.start(again);
  }

  hide() {
    this.refresher.stop();
    clearTimeout(this.#due);
    this.#due = 0;
  }

  take(event) {
    if (this.#due || (event.session === undefined && event.room === undefined)) return;
    this.#due = setTimeout(async () => {
      this.#due = 0;
      try {
        this.#use(await this.#load());
      } catch {
        // the refresher says so
      }
    }, LIVE);
  }

  get title() {
    return this.#fields.q ? `${this.#fields.q} · Sessions` : "Sessions";
  }

  // -- loading ---------------------------------------------------------------------------------------------------------

  async #load(before = "") {
    const asked = this.#asked;
    const found = await this.api.get(`/api/sessions?${new URLSearchParams({ ...this.#fields, limit: PAGE, ...(before ? { before } : {}) })}`);
    return { ...found, asked };
  }

  /** The first page. What is listed stays where it is: sessions that are new are announced. */
  #use(found, error = "") {
    if (found === null) {
      this.list.replaceChildren();
      this.#rows.clear();
      text(this.note, error);
      this.note.classList.add("bad");
      return;
    }
    if (found.asked !== this.#asked) return;
    this.note.classList.remove("bad");
    const fresh = this.list.classList.contains("stale") || this.#rows.size === 0;
    if (fresh) this.#replace(found);
    else {
      const unknown = found.sessions.filter((session) => !this.#rows.has(keyOf(session)));
      for (const session of found.sessions) if (this.#rows.has(keyOf(session))) this.#draw(session);
      const reading = this.element.scrollTop > 40 || this.list.contains(document.activeElement);
      if (unknown.length && !reading) this.#replace(found);
      else if (unknown.length) {
        this.held = found;
        text(this.news, `↑ ${number(unknown.length)} new`);
        this.news.hidden = false;
      }
    }
    this.#say(found);
  }

  #replace(found) {
    keepingFocus(this.list, () => {
      const before = this.#rows;
      this.#rows = new Map();
      for (const session of found.sessions) {
        const known = before.get(keyOf(session));
        if (known) this.#rows.set(keyOf(session), known);
        this.#draw(session);
      }
      this.list.replaceChildren(...[...this.#rows.values()].map(({ element }) => element));
    });
    this.#next = found.more ? found.next : null;
    this.list.classList.remove("stale");
    this.news.hidden = true;
    this.held = null;
    this.#settle();
    this.names.get("room").suggest([...new Set(found.sessions.map(({ room }) => room).filter(Boolean))]);
    this.names.get("agent").suggest([...new Set(found.sessions.map(({ agent }) => agent).filter(Boolean))]);
    this.#more();
  }

  #say({ sessions, searched }) {
    const filtered = Object.keys(this.#fields).some((name) => name !== "sort");
    this.note.hidden = sessions.length > 0;
    if (!sessions.length) {
      this.note.replaceChildren(...(filtered
        ? ["No session matches. ", button("Clear filters", () => this.router.go("sessions"))]
        : ["No sessions yet. Play an example conversation in the ", this.router.link("live view", "live"), ", or attach an agent."]));
    }
    const count = this.#rows.size;
    const some = [count ? `${plural(count, "session")}${this.#next ? ", more as you scroll" : ""}.` : "", searched === false ? "Only the newest 20,000 utterances with these words were searched." : ""];
    text(this.end, some.filter(Boolean).join(" "));
  }

  async #more() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    if (!this.#next || this.#loading || scrollTop + 2 * clientHeight < scrollHeight) return;
    this.#loading = true;
    try {
      const found = await this.#load(this.#next);
      if (found.asked !== this.#asked) return;
      for (const session of found.sessions) {
        if (!this.#rows.has(keyOf(session))) this.list.append(this.#draw(session));
      }
      this.#next = found.more ? found.next : null;
      this.#settle();
      this.#say(found);
    } catch (error) {
      text(this.end, error.message);
    } finally {
      this.#loading = false;
    }
    this.#more();
  }

  #top() {
    if (this.held) this.#replace(this.held);
    this.element.scrollTop = 0;
  }

  // -- drawing ---------------------------------------------------------------------------------------------------------

  /** Draw a session's row, if it has changed. Returns the row. */
  #draw(session) {
    const key = keyOf(session);
    const slow = this.status().config?.slow ?? [1.5, 3];
    const now = Date.now() / 1000 + (this.status().skew ?? 0);
    const [words, kind, why] = doing(session, now);
    const drawn = JSON.stringify([session, words, recently(session.started, now)]);
    let row = this.#rows.get(key);
    if (row?.drawn === drawn) return row.element;
    row ??= { element: el("li") };
    Object.assign(row, { session, drawn });
    this.#rows.set(key, row);
    const box = Object.assign(el("input"), { type: "checkbox", checked: this.#chosen.has(key), ariaLabel: `Choose ${session.id} to compare`, tabIndex: -1 });
    box.onchange = () => this.#choose(session, box);
    const state = el("span", `state ${kind}`, words);
    if (why) state.title = why;
    const name = this.router.link([session.room, session.session].filter(Boolean).join(" · ") || "no room", "session", sessionPlace(session));
    name.tabIndex = key === this.#current ? 0 : -1;
    const agent = [session.agent, session.version].filter(Boolean).join(" ");
    const tags = session.tags.map((tag) => Object.assign(button(tag, () => this.#go({ tag }), `Only sessions with the tag ${tag}`), { className: "tag", tabIndex: -1 }));
    const marks = [session.recording ? Object.assign(el("span", "mark", "▶"), { title: "It has a recording" }) : null, session.notes ? Object.assign(el("span", "mark", `✎ ${session.notes}`), { title: plural(session.notes, "note") }) : null];
    const began = el("time", "", el("span", "", recently(session.started, now) || moment(session.started)), el("span", "quiet", recently(session.started, now) ? ` ${clock(session.started).slice(0, 5)}` : ""));
    began.title = fullTime(session.started);
    const cells = [
      el("span", "choose", box), state, el("span", "name", name, el("span", "quiet", agent), ...marks, ...tags), began, el("span", "n", minutes(session.duration)), el("span", "n", number(session.counts.turns)),
      this.#waits(session, slow), el("span", "problems", ...problems(session).map(([said, kindOf]) => el("span", kindOf, said))), el("span", "n quiet", spent(session)),
    ];
    row.element.replaceChildren(el("div", "session-row", ...cells), ...(session.matches?.length ? [this.#matches(session)] : []));
    row.element.classList.toggle("matching", Boolean(session.matches?.length));
    return row.element;
  }

  #waits(session, slow) {
    const wait = waitOf(session);
    const made = el("span", "waits");
    if (!wait) return made;
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [name, value] of Object.entries({ width: LINE.width, height: LINE.height, "aria-hidden": "true" })) picture.setAttribute(name, value);
    for (const { tone: colour, ...place } of bars(session.waits, slow, LINE.width, LINE.height)) {
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [name, value] of Object.entries(place)) bar.setAttribute(name, value.toFixed(1));
      if (colour) bar.setAttribute("class", colour);
      picture.append(bar);
    }
    const p95 = el("b", slowness(wait.p95, slow), duration(wait.p95));
    made.append(picture, el("span", "figure", el("span", "", `${duration(wait.median)} `), el("span", "", el("span", "quiet", "p95 "), p95)));
    made.title = `${plural(wait.count, "wait")}: median ${duration(wait.median)}, p95 ${duration(wait.p95)}, longest ${duration(wait.max)}`;
    return made;
  }

  #matches(session) {
    const lines = session.matches.map(({ turn, at, role, text: said }) => {
      const words = marked(said).map(([part, match]) => (match ? el("mark", "", part) : part));
      const made = this.router.link("", "session", sessionPlace(session, turn));
      made.tabIndex = -1;
      made.append(el("span", `who ${role}`, role), el("span", "", ...words), el("span", "quiet", [turn ? `turn ${turn}` : "", clock(at).slice(0, 5)].filter(Boolean).join(", ")));
      return el("p", "match", made);
    });
    return el("div", "matches", ...lines);
  }

  // -- comparing -------------------------------------------------------------------------------------------------------

  #choose(session, box) {
    if (box.checked) this.#chosen.set(keyOf(session), session);
    else this.#chosen.delete(keyOf(session));
    while (this.#chosen.size > 2) {
      const [first] = this.#chosen.keys();
      this.#chosen.delete(first);
      const other = this.#rows.get(first)?.element.querySelector("input");
      if (other) other.checked = false;
    }
    this.compare.disabled = this.#chosen.size !== 2;
    this.compare.classList.toggle("primary", this.#chosen.size === 2);
    text(this.compare, this.#chosen.size === 1 ? "Compare with …" : "Compare");
  }

  #compare() {
    const side = ({ id, room, session }) => sideField({ kind: "session", id, room: session === null ? null : room });
    const [a, b] = [...this.#chosen.values()].sort((one, other) => (one.started ?? 0) - (other.started ?? 0));
    this.router.go("compare", { fields: { a: side(a), b: side(b) } });
  }

  // -- the keyboard ----------------------------------------------------------------------------------------------------

  #focused(item) {
    const key = [...this.#rows].find(([, { element }]) => element === item)?.[0];
    if (key === undefined || key === this.#current) return;
    this.#current = key;
    this.#settle();
  }

  // One row is the list's tab stop.
  #settle() {
    if (!this.#rows.has(this.#current)) this.#current = this.#rows.keys().next().value ?? null;
    for (const [key, { element }] of this.#rows) element.querySelector(".name a").tabIndex = key === this.#current ? 0 : -1;
  }

  /** Move to the next row, or the one before. Returns whether there is one. */
  move(step) {
    const items = [...this.list.children];
    const at = items.indexOf(this.#rows.get(this.#current)?.element);
    const to = items[this.list.contains(document.activeElement) ? at + step : Math.max(0, at)];
    to?.querySelector(".name a").focus();
    return Boolean(to);
  }

  #key(event) {
    if (event.target.matches("input[type=search]") || event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      if (this.move(step)) event.preventDefault();
    } else if (event.key === "x") event.target.closest("li")?.querySelector("input").click();
  }
}
