// Errors: what failed, how often, since when, and in which turns; and the tools that were called, with their failures.

import { el, text } from "../views/dom.js";
import { number, plural } from "../words/format.js";
import { ago, keyOf, percent, recovery } from "../words/errors.js";
import { askFor, moment, readStretch, said } from "../words/stretches.js";
import { seconds } from "../words/trends.js";
import { NameFilter, StretchChoice, chip } from "./controls.js";
import { Refresher } from "./refresher.js";
import { keepingFocus, roving } from "./roving.js";
import { SortableTable } from "./sortable-table.js";
import { cell } from "./totals-table.js";

const FILTERS = ["room", "agent"];
const LIMIT = 100; // groups

export default class ErrorsView {
  #fields = {};
  #answer = null;
  #asked = "";
  #open = new Set(); // groups that are unfolded
  #range = "";

  constructor({ api, router, status }) {
    Object.assign(this, { api, router });
    this.stretch = new StretchChoice(({ since }) => this.#go({ since }), { open: true });
    this.filters = new Map(FILTERS.map((name) => [name, new NameFilter(name[0].toUpperCase() + name.slice(1), (value) => this.#go({ [name]: value }))]));
    this.chips = el("span", "chips");
    this.refresher = new Refresher({ load: () => this.#load(), use: (...found) => this.#use(...found), status });
    this.errors = new SortableTable({
      caption: "Errors by source and message",
      columns: [
        { name: "message", label: "Error", words: true, value: ({ source, message }) => `${source ?? ""} ${message}` },
        { name: "count", label: "Count", value: ({ count }) => count },
        { name: "sessions", label: "Sessions", value: ({ sessions }) => sessions },
        { name: "first", label: "First", value: ({ first }) => first },
        { name: "last", label: "Last", value: ({ last }) => last },
        { name: "recoverable", label: "Recoverable", words: true, value: ({ recoverable }) => recovery(recoverable) },
      ],
      cells: (group) => this.#error(group),
      sort: (sort) => this.#go({ sort }, true),
    });
    this.tools = new SortableTable({
      caption: "Tools",
      columns: [
        { name: "name", label: "Tool", words: true, value: ({ name }) => name },
        { name: "calls", label: "Calls", value: ({ calls }) => calls },
        { name: "errors", label: "Failed", value: ({ errors }) => errors },
        { name: "share", label: "Share", value: ({ calls, errors }) => errors / calls },
        { name: "median", label: "Median", value: ({ median }) => median },
        { name: "p95", label: "p95", value: ({ p95 }) => p95 },
        { name: "last", label: "Last failure", value: (tool) => newest(tool)?.at },
      ],
      cells: (tool) => this.#tool(tool),
      sort: (tools) => this.#go({ tools }, true),
    });
    this.nothing = new Map([[this.errors, el("p", "nothing")], [this.tools, el("p", "nothing")]]);
    this.settle = [this.errors, this.tools].map(({ body }) => roving(body, "button.unfold"));
    this.note = el("p", "aside");
    this.failed = el("p", "nothing bad");
    this.failed.setAttribute("role", "status");
    const bar = el("div", "bar", this.stretch.element, ...[...this.filters.values()].map(({ element }) => element), this.chips, this.refresher.element);
    this.body = el("div", "body", ...[this.errors, this.tools].flatMap((table) => [el("div", "wide", table.element), this.nothing.get(table)]), this.note);
    this.body.hidden = true;
    this.element = el("section", "view scroll errors", el("h2", "unseen", "Errors"), bar, this.failed, this.body);
    this.element.tabIndex = -1;
  }

  show({ fields }) {
    this.#fields = fields;
    const stretch = this.#stretch;
    if (stretch.range !== null) this.#range = stretch.range;
    this.stretch.show(stretch);
    for (const [name, filter] of this.filters) filter.show(fields[name] ?? "");
    this.chips.replaceChildren(...(stretch.range === null ? [chip(said(stretch), () => this.#go({ since: this.#range }))] : []));
    const asked = JSON.stringify(this.#query());
    const again = asked !== this.#asked;
    this.#asked = asked;
    if (!again && this.#answer) this.#draw();
    this.body.classList.toggle("stale", again);
    this.refresher.start(again);
  }

  hide() {
    this.refresher.stop();
  }

  take() {}

  // The hub's groups of errors reach until now.
  get #stretch() {
    return readStretch({ since: this.#fields.since });
  }

  #go(fields, replace = false) {
    this.router.go("errors", { fields: { ...this.#fields, ...fields } }, { replace });
  }

  #query() {
    const filters = FILTERS.filter((name) => this.#fields[name]).map((name) => [name, this.#fields[name]]);
    return { ...askFor(this.#stretch), ...Object.fromEntries(filters), limit: LIMIT };
  }

  #load() {
    return this.api.get(`/api/errors?${new URLSearchParams(this.#query())}`);
  }

  #use(answer, error) {
    this.#answer = answer;
    this.body.classList.remove("stale");
    this.body.hidden = !answer;
    this.failed.hidden = Boolean(answer);
    text(this.failed, error ?? "");
    if (answer) this.#draw();
  }

  #draw() {
    const { errors, tools, more } = this.#answer;
    const where = `in ${said(this.#stretch)}${FILTERS.some((name) => this.#fields[name]) ? " that match the filters" : ""}`;
    this.now = Date.now() / 1000;
    this.most = Math.max(1, ...errors.map(({ count }) => count));
    keepingFocus(this.body, () => this.#tables(errors, tools, where));
    this.note.textContent = more ? `Only the ${plural(LIMIT, "group")} with the most errors are listed.` : "";
    this.settle.forEach((settle) => settle());
  }

  #tables(errors, tools, where) {
    for (const [table, rows, field, words] of [[this.errors, errors, this.#fields.sort || "count", "errors"], [this.tools, tools, this.#fields.tools || "errors", "tool calls"]]) {
      table.draw(rows, field);
      table.element.hidden = rows.length === 0;
      this.nothing.get(table).textContent = rows.length ? "" : `No ${words} ${where}.`;
    }
  }

  #error(group) {
    const { source, message, count, sessions, first, last, recoverable, examples } = group;
    const bar = el("span", "share");
    bar.style.width = `${((100 * count) / this.most).toFixed(1)}%`;
    const title = [el("b", "source", source ?? "unknown source"), " ", el("span", "message", message || "no message")];
    return this.#rows(group, title, [
      el("td", "counted", el("span", "track", bar), el("span", "", number(count))), cell(number(sessions)), this.#time(first), this.#time(last),
      el("td", recoverable === false ? "words worse" : "words", recovery(recoverable)),
    ], examples);
  }

  #tool(tool) {
    const { name, calls, errors, median, p95, examples } = tool;
    const latest = newest(tool);
    const bar = el("span", "share");
    bar.style.width = `${((100 * errors) / Math.max(1, calls)).toFixed(1)}%`;
    const last = latest ? this.#time(latest.at) : cell("");
    return this.#rows(tool, [el("b", "source", name)], [
      cell(number(calls)), cell(number(errors), errors ? "worse" : ""), el("td", "counted", el("span", "track", bar), el("span", "", percent(errors, calls))), cell(seconds(median)), cell(seconds(p95)), last,
    ], examples);
  }

  // A group's row, and below it the turns it occurred in.
  #rows(group, title, cells, examples) {
    const key = keyOf(group);
    const head = el("th", "");
    head.scope = "row";
    const row = el("tr", "group", head, ...cells);
    if (!examples?.length) {
      head.append(el("span", "flat", ...title));
      return [row];
    }
    const toggle = el("button", "unfold", ...title);
    toggle.type = "button";
    const inside = el("td", "", this.#examples(examples));
    inside.colSpan = cells.length + 1;
    const below = el("tr", "examples", inside);
    const mark = () => {
      toggle.setAttribute("aria-expanded", String(this.#open.has(key)));
      below.hidden = !this.#open.has(key);
    };
    toggle.onclick = () => {
      if (!this.#open.delete(key)) this.#open.add(key);
      mark();
    };
    mark();
    head.append(toggle);
    return [row, below];
  }

  #examples(examples) {
    const entries = examples.map(({ id, room, turn, at, message }) => {
      const words = `${room ?? "no room"}${turn === null || turn === undefined ? "" : `, turn ${turn}`}`;
      return el("li", "", el("time", "", moment(at)), this.router.link(words, "session", { id, fields: { ...(room !== null && !id.startsWith("room:") ? { room } : {}), turn } }), el("span", "hint", message ?? ""));
    });
    return el("ul", "", ...entries);
  }

  #time(at) {
    const made = el("td", "", ago(at, this.now));
    made.title = moment(at);
    return made;
  }
}

const newest = ({ examples = [] }) => examples.reduce((best, example) => (best && best.at >= example.at ? best : example), null);
