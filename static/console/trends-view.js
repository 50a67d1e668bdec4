// Trends: latencies, calls, problems and usage over time, for each agent, version or room.

import { sideField } from "../model/comparison.js";
import { newestVersions, shownField, shownOf, waitOf } from "../model/trends.js";
import { el, text } from "../views/dom.js";
import { duration, plural } from "../words/format.js";
import { askFor, lengthOf, readStretch, said, stepFor } from "../words/stretches.js";
import { CHOICES, GROUPINGS, SLOW } from "../words/trends.js";
import { Choice, NameFilter, StretchChoice, chip, scrollable } from "./controls.js";
import { Refresher } from "./refresher.js";
import { keepingFocus, roving } from "./roving.js";
import { StretchSessions } from "./stretch-sessions.js";
import { totalsTable } from "./totals-table.js";
import { TrendCharts } from "./trend-charts.js";

const FILTERS = ["room", "agent", "version"];
const FINER = { agent: "version", version: "room", room: "agent" }; // what a group that is chosen is divided by

export default class TrendsView {
  #fields = {};
  #answer = null;
  #asked = "";
  #range = ""; // the range before a stretch was chosen

  constructor({ api, router, status }) {
    Object.assign(this, { api, router, status });
    this.stretch = new StretchChoice((fields) => this.#go(fields));
    this.by = new Choice("Groups", GROUPINGS.map(([value, label]) => [value, label]), (by) => this.#go({ by, shown: "" }));
    this.figure = new Choice("Latency", CHOICES, (figure) => this.#go({ figure }, true));
    this.filters = new Map(FILTERS.map((name) => [name, new NameFilter(name[0].toUpperCase() + name.slice(1), (value) => this.#go({ [name]: value, shown: "" }))]));
    this.chips = el("span", "chips");
    this.key = el("span", "key");
    this.refresher = new Refresher({ load: () => this.#load(), use: (...found) => this.#use(...found), status });
    this.charts = new TrendCharts({
      change: (fields) => this.#go(fields, true),
      selected: (since, until) => this.#go({ since: since.toFixed(0), until: until.toFixed(0) }),
      toggle: (name) => this.#toggle(name),
    });
    this.empty = el("p", "nothing");
    this.empty.hidden = true;
    this.empty.setAttribute("role", "status");
    this.totals = scrollable("Totals");
    this.settle = roving(this.totals, "a");
    this.sessions = new StretchSessions(api, router);
    const bar = el("div", "bar", this.stretch.element, labelled("by", this.by), ...[...this.filters.values()].map(({ element }) => element), this.chips, this.refresher.element);
    this.body = el("div", "body", el("div", "bar second", this.figure.element, this.key), this.charts.element, this.totals, this.sessions.element);
    this.body.hidden = true;
    this.element = el("section", "view scroll trends", el("h2", "unseen", "Trends"), bar, this.empty, this.body);
    this.element.tabIndex = -1;
  }

  get title() {
    const only = FILTERS.map((name) => this.#fields[name]).filter(Boolean);
    return ["Trends", ...only].join(" · ");
  }

  show({ fields }) {
    this.#fields = fields;
    const stretch = readStretch(fields);
    if (stretch.range !== null) this.#range = stretch.range;
    this.stretch.show(stretch);
    this.by.show(this.#by);
    this.figure.show(CHOICES.some(([value]) => value === fields.figure) ? fields.figure : "");
    for (const [name, filter] of this.filters) filter.show(fields[name] ?? "");
    this.chips.replaceChildren(...(stretch.range === null ? [chip(said(stretch), () => this.#go({ since: this.#range, until: "" }))] : []));
    const asked = JSON.stringify(this.#query());
    const again = asked !== this.#asked;
    this.#asked = asked;
    if (!again && this.#answer) this.#draw();
    if (again) this.body.classList.add("stale");
    this.refresher.start(again);
  }

  hide() {
    this.refresher.stop();
    this.sessions.stop();
  }

  take() {}

  get #by() {
    return GROUPINGS.some(([value]) => value === this.#fields.by) ? this.#fields.by : "agent";
  }

  #go(fields, replace = false) {
    this.router.go("trends", { fields: { ...this.#fields, ...fields } }, { replace });
  }

  #query() {
    const filters = FILTERS.filter((name) => this.#fields[name]).map((name) => [name, this.#fields[name]]);
    return { ...askFor(readStretch(this.#fields)), by: this.#by, ...Object.fromEntries(filters) };
  }

  // Where a stretch has no beginning, the first answer says when the first event was; the second has buckets of a fitting length.
  async #load() {
    const query = this.#query();
    const length = lengthOf(readStretch(this.#fields), Date.now() / 1000);
    const ask = (more) => this.api.get(`/api/series?${new URLSearchParams({ ...query, ...more })}`);
    if (length !== null) return ask({ step: stepFor(length) });
    const answer = await ask({});
    const first = Math.min(...answer.groups.flatMap(({ points }) => points.map(({ at }) => at)));
    return Number.isFinite(first) ? ask({ since: Math.floor(first), step: stepFor(answer.until - first) }) : answer;
  }

  #use(answer, error) {
    this.#answer = answer;
    this.body.classList.remove("stale");
    this.body.hidden = !answer?.groups.length;
    this.empty.hidden = !this.body.hidden;
    this.empty.classList.toggle("bad", !answer);
    if (answer) this.#draw();
    else text(this.empty, error);
  }

  #draw() {
    const answer = this.#answer;
    const stretch = readStretch(this.#fields);
    const only = FILTERS.some((name) => this.#fields[name]);
    if (!answer.groups.length) this.empty.textContent = `No sessions in ${said(stretch)}${only ? " that match the filters" : ""}.`;
    const names = answer.groups.map(({ name }) => name).filter(Boolean);
    this.filters.get(this.#by)?.suggest(names);
    if (!answer.groups.length) return this.sessions.stop();
    const slow = this.status().config?.slow ?? SLOW;
    text(this.key, `solid: median · dashed: p95${["", "all"].includes(this.#fields.figure ?? "") ? ` · dotted: slow from ${slow.map(duration).join(" and ")} on` : ""}`);
    this.charts.draw(answer, this.#fields, shownOf(answer.groups, this.#fields.shown), slow).catch((error) => {
      this.empty.hidden = false;
      this.empty.textContent = `${error.message} The table has the numbers.`;
    });
    const table = totalsTable(answer, {
      caption: `Totals of ${said(stretch)}`,
      slow,
      colour: (name) => this.charts.colour(name, answer.by),
      link: (name, words) => (name === null ? words : this.router.link(words, "trends", { fields: { ...this.#fields, [answer.by]: name, by: FINER[answer.by], shown: "" } })),
    });
    const notes = [];
    const versions = answer.by === "version" ? newestVersions(answer.groups) : [];
    if (versions.length) notes.push(el("p", "aside", this.#comparison(versions)));
    if (answer.more) notes.push(el("p", "aside", `Only the ${plural(answer.groups.length, "group")} with the most sessions are listed.`));
    if (answer.groups.some(({ total }) => waitOf(total) === null)) notes.push(el("p", "aside", "A dash: not measured."));
    keepingFocus(this.totals, () => this.totals.replaceChildren(table, ...notes));
    this.settle();
    if (stretch.range === null) this.sessions.show(this.#fields, stretch, slow);
    else this.sessions.stop();
  }

  #comparison(versions) {
    const [a, b] = versions.map((version) => ({ kind: "agent", agent: this.#fields.agent || null, version }));
    return this.router.link(`Compare ${a.version} with ${b.version}`, "compare", { fields: { a: sideField(a), b: sideField(b) } });
  }

  #toggle(name) {
    const shown = shownOf(this.#answer.groups, this.#fields.shown);
    if (!shown.delete(name)) shown.add(name);
    this.#go({ shown: shownField(this.#answer.groups, shown) }, true);
  }
}

function labelled(words, choice) {
  return el("span", "labelled", el("span", "", words), choice.element);
}
