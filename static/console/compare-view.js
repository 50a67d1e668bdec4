// Compare: two sessions or two versions of an agent, side by side, and which of them answers faster.

import { aligned, commonWait, judge, ofSession, ofTotal, readSide, resolutionOf, sideField } from "../model/comparison.js";
import { button, el, text } from "../views/dom.js";
import { COMPARED, answer, countRows, sideName, verdictWords } from "../words/comparison.js";
import { number, plural } from "../words/format.js";
import { pathOf } from "../words/sessions.js";
import { moment } from "../words/stretches.js";
import { SLOW, seconds } from "../words/trends.js";
import { CompareTurns } from "./compare-turns.js";
import { scrollable } from "./controls.js";
import { Refresher } from "./refresher.js";
import { keepingFocus } from "./roving.js";
import { SidePicker } from "./side-picker.js";
import { cell, head } from "./totals-table.js";

const SINCE = "30d"; // of versions
const AGENTS = 5; // whose versions are suggested
const SESSIONS = 50;
const REMEMBERED = 30_000; // ms, for suggestions

export default class CompareView {
  #fields = {};
  #asked = "";
  #suggestions = null;
  #sides = [null, null];
  #drawn = "";

  constructor({ api, router, status }) {
    Object.assign(this, { api, router, status });
    this.pickers = ["a", "b"].map((name) => new SidePicker(name.toUpperCase(), { pick: (field) => this.#go({ [name]: field }), suggest: () => this.#suggest() }));
    const swap = button("⇄ Swap", () => this.#go({ a: this.#fields.b, b: this.#fields.a }), "Exchange A and B");
    this.refresher = new Refresher({ load: () => this.#load(), use: (...found) => this.#use(...found), status });
    this.verdict = el("p", "verdict");
    this.verdict.setAttribute("role", "status");
    this.how = el("p", "aside", "Too few: a median needs 20 measured turns on each side, a 95th percentile 100. About equal: chance or the precision of the figures explains the difference.");
    this.figures = scrollable("Latencies");
    this.counts = scrollable("Calls");
    this.turns = new CompareTurns((words, side, turn) => this.#link(words, this.#sides[side], turn));
    this.empty = el("p", "nothing");
    this.empty.setAttribute("role", "status");
    this.body = el("div", "body", this.verdict, el("div", "beside", this.figures, this.counts), this.how, this.turns.element);
    this.body.hidden = true;
    const bar = el("div", "bar", this.pickers[0].element, swap, this.pickers[1].element, this.refresher.element);
    this.element = el("section", "view scroll compare", el("h2", "unseen", "Compare"), bar, this.empty, this.body);
    this.element.tabIndex = -1;
  }

  get title() {
    const known = this.#sides.filter(Boolean).map(sideName);
    return known.length === 2 ? `${known[0]} and ${known[1]}` : "Compare";
  }

  show({ fields }) {
    this.#fields = fields;
    this.#sides = [fields.a, fields.b].map((field) => readSide(field));
    this.pickers.forEach((picker, index) => picker.show([fields.a, fields.b][index] ?? ""));
    const wrong = [fields.a, fields.b].filter((field, index) => field && !this.#sides[index]);
    const missing = this.#sides.filter((side) => side === null).length;
    this.empty.textContent = wrong.length
      ? `“${wrong[0]}” names neither a session (session:<id>) nor a version (agent:<name>@<version>).`
      : missing === 2 ? "Choose two versions of an agent, or two sessions, to compare their latencies, errors and usage." : missing ? `Choose ${this.#sides[0] ? "B" : "A"}, too.` : "";
    const asked = JSON.stringify([fields.a, fields.b]);
    const again = asked !== this.#asked;
    this.#asked = asked;
    this.empty.classList.remove("bad");
    if (missing) {
      this.refresher.stop();
      this.refresher.element.textContent = "";
      this.body.hidden = true;
      return;
    }
    this.body.classList.toggle("stale", again);
    this.refresher.start(again);
  }

  hide() {
    this.refresher.stop();
  }

  take() {}

  #go(fields) {
    this.router.go("compare", { fields: { ...this.#fields, ...fields } });
  }

  #link(words, side, turn) {
    return this.router.link(words, "session", { id: side.id, fields: { ...(side.room === null ? {} : { room: side.room }), turn } });
  }

  async #load() {
    return Promise.all(this.#sides.map((side) => (side.kind === "session" ? this.#session(side) : this.#version(side))));
  }

  async #session({ id, room }) {
    return ofSession(await this.api.get(pathOf({ name: id, room })));
  }

  async #version({ agent, version }) {
    const query = { since: this.#fields.since || SINCE, by: "version", ...(agent === null ? {} : { agent }), ...(version === null ? {} : { version }) };
    const { groups } = await this.api.get(`/api/series?${new URLSearchParams(query)}`);
    const found = groups.find(({ name }) => name === version);
    if (!found) throw new Error(`There are no calls of ${sideName({ kind: "agent", agent, version })} in the last 30 days.`);
    return ofTotal(found.total);
  }

  #use(found, error) {
    this.body.classList.remove("stale");
    this.body.hidden = !found;
    this.empty.classList.toggle("bad", !found);
    text(this.empty, error ?? "");
    const drawn = JSON.stringify([this.#asked, found]);
    if (!found || drawn === this.#drawn) return; // nothing is drawn again under the pointer without need
    this.#drawn = drawn;
    keepingFocus(this.body, () => this.#draw(...found));
  }

  #draw(a, b) {
    const slow = this.status().config?.slow ?? SLOW;
    const wait = commonWait(a, b);
    const resolution = resolutionOf(a, b);
    const [one, two] = [a, b].map(({ latency }) => (wait ? latency[wait] : null));
    const sides = wait ? [one, two] : [a, b].map((side) => (commonWait(side, side) ? {} : null));
    const [median, p95] = wait ? ["median", "p95"].map((kind) => judge(one, two, kind, resolution)) : [null, null];
    this.verdict.textContent = wait ? answer(one, two, median, p95) : answer(null, sides[1] && !sides[0] ? {} : null);
    this.verdict.dataset.verdict = median?.verdict ?? "few";
    this.figures.replaceChildren(this.#figures(a, b, resolution));
    this.counts.replaceChildren(this.#counts(a, b));
    this.turns.element.hidden = !(a.list && b.list && aligned(a.list, b.list).length);
    if (!this.turns.element.hidden) this.turns.draw(a.list, b.list, slow, this.#asked);
  }

  #figures(a, b, resolution) {
    const top = el("tr", "", head("Latency", "col", "", { rowSpan: 2 }), ...["Median", "95th percentile"].map((label) => head(label, "colgroup", "pair", { colSpan: 3 })), head("Measured", "colgroup", "pair", { colSpan: 2 }));
    const below = el("tr", "", ...[0, 1].flatMap(() => [head("A"), head("B"), head("B against A", "col", "words")]), head("A"), head("B"));
    const rows = COMPARED.filter(([name]) => a.latency[name] || b.latency[name]).map(([name, label]) => {
      const [one, two] = [a.latency[name], b.latency[name]];
      const title = Object.assign(el("th", "", label), { scope: "row" });
      const values = ["median", "p95"].flatMap((kind) => [cell(seconds(one?.[kind])), cell(seconds(two?.[kind])), verdictCell(one && two ? judge(one, two, kind, resolution) : null)]);
      return el("tr", "", title, ...values, cell(number(one?.count ?? 0)), cell(number(two?.count ?? 0)));
    });
    return el("table", "figures", el("caption", "", "Latencies"), el("thead", "", top, below), el("tbody", "", ...rows));
  }

  #counts(a, b) {
    const rows = countRows(a, b).map(({ label, values, worse }) => {
      const title = Object.assign(el("th", "", label), { scope: "row" });
      return el("tr", "", title, ...values.map((words, index) => {
        const bad = worse === "ab"[index];
        return cell(bad ? `${words}, worse` : words, bad ? "worse" : "");
      }));
    });
    const names = this.#sides.map((side, index) => {
      const made = head("AB"[index]);
      if (side.kind === "session") made.replaceChildren(this.#link("AB"[index], side));
      return made;
    });
    return el("table", "figures", el("caption", "", "Calls"), el("thead", "", el("tr", "", head("Count"), ...names)), el("tbody", "", ...rows));
  }

  // -- suggestions ------------------------------------------------------------------------------------------------------

  #suggest() {
    if (this.#suggestions && Date.now() - this.#suggestions.at < REMEMBERED) return this.#suggestions.found;
    const found = this.#ask();
    this.#suggestions = { at: Date.now(), found };
    found.catch(() => (this.#suggestions = null));
    return found;
  }

  async #ask() {
    const series = (query) => this.api.get(`/api/series?${new URLSearchParams({ since: SINCE, ...query })}`);
    const [agents, listed] = await Promise.all([series({ by: "agent" }), this.api.get(`/api/sessions?limit=${SESSIONS}`)]);
    const names = agents.groups.map(({ name }) => name).filter(Boolean).slice(0, AGENTS);
    const versions = await Promise.all(names.map((agent) => series({ by: "version", agent })));
    const ofAgents = names.flatMap((agent, index) => versions[index].groups.map(({ name: version, total }) => {
      const side = { kind: "agent", agent, version };
      return { field: sideField(side), group: "Versions of agents", label: sideName(side), hint: `${version === null ? "no version, " : ""}${plural(total.sessions, "call")}, ${plural(total.turns, "turn")}` };
    }));
    const ofSessions = listed.sessions.map(({ id, room, session, started, agent, counts }) => {
      const side = { kind: "session", id, room: session === null ? null : room };
      return { field: sideField(side), group: "Sessions", label: [room, session].filter(Boolean).join(" · ") || id, hint: [moment(started), agent, plural(counts.turns, "turn")].filter(Boolean).join(", ") };
    });
    return [...ofAgents, ...ofSessions];
  }
}

function verdictCell(verdict) {
  if (!verdict) return el("td", "words unknown", "–");
  return el("td", `words ${{ faster: "better", slower: "worse" }[verdict.verdict] ?? "quiet"}`, verdictWords(verdict));
}
