// The charts of the trends: latencies, calls, problems and usage of each group on one time axis, and the legend that toggles groups.

import { amountOf, column, currencyOf, latencyOf, stacked, timeAxis, waitOf } from "../model/trends.js";
import { el } from "../views/dom.js";
import { duration, number } from "../words/format.js";
import { STAGES, distribution, money, nameOf, short } from "../words/trends.js";
import { Chart } from "./chart.js";
import { Choice } from "./controls.js";
import { roving } from "./roving.js";
import { uPlotClass } from "./uplot.js";

const SYNC = "trends";
const COLOURS = 8;
const [LARGE, SMALL] = [250, 150]; // CSS pixels

/** Charts that show one of several counts: `[field of the address, title, choices]`. */
const COUNTS = [
  ["count", "Calls and turns", [["", "Calls", "sessions"], ["turns", "Turns", "turns"]]],
  ["problem", "Problems", [["", "Errors", "errors"], ["tools", "Tool errors", "tool_errors"], ["cuts", "Interruptions", "interruptions"]]],
  ["usage", "Usage", [["", "Tokens", "tokens"], ["cost", "Cost", "cost"]]],
];

export class TrendCharts {
  #charts = new Map(); // key → Chart
  #counts = new Map(); // field → Choice
  #colours = new Map(); // group → number of its colour
  #held = null; // what to draw when the pointer has left
  #run = 0;
  #by = "";
  #asked = ""; // by the reader: what was drawn last
  #size = 0; // latency charts

  /** `change(fields)`: the address is to have these; `selected(since, until)`: a stretch was dragged; `toggle(name)`: show or hide a group. */
  constructor({ change, selected, toggle }) {
    Object.assign(this, { change, selected, toggle });
    this.legend = el("div", "legend");
    this.legend.setAttribute("role", "group");
    this.legend.ariaLabel = "Groups that are drawn";
    this.settle = roving(this.legend, "button");
    this.latencies = el("div", "latencies");
    this.counts = el("div", "counts");
    this.element = el("div", "charts", this.legend, this.latencies, this.counts);
    const redraw = () => [...this.#charts.values()].forEach((chart) => chart.redraw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** The colour of a group, as a CSS variable: the same as long as the view is open. */
  colour(name, by) {
    if (by !== this.#by) this.#colours.clear();
    this.#by = by;
    if (!this.#colours.has(name)) this.#colours.set(name, (this.#colours.size % COLOURS) + 1);
    return `--series-${this.#colours.get(name)}`;
  }

  /** Draw an answer of /api/series. `shown`: the names of the groups to draw. `slow`: the two thresholds of a wait, in seconds. */
  async draw(answer, fields, shown, slow) {
    this.#run += 1;
    const run = this.#run;
    this.UPlot ??= await uPlotClass();
    if (run !== this.#run) return;
    this.#legend(answer, shown);
    const asked = JSON.stringify([fields, [...shown]]);
    const over = [...this.#charts.values()].some((chart) => chart.over);
    this.#held = over && asked === this.#asked ? [answer, fields, shown, slow] : null;
    this.#asked = asked;
    if (!this.#held) this.#drawNow(answer, fields, shown, slow);
  }

  #released() {
    if (!this.#held) return;
    const held = this.#held;
    this.#held = null;
    this.#drawNow(...held);
  }

  #legend({ groups, by }, shown) {
    const wanted = groups.map(({ name }) => name);
    if (JSON.stringify(wanted) !== this.legend.dataset.names) {
      this.legend.dataset.names = JSON.stringify(wanted);
      this.legend.replaceChildren(...groups.map(({ name }) => {
        const swatch = el("i", "swatch");
        swatch.style.background = `var(${this.colour(name, by)})`;
        const entry = el("button", "", swatch, nameOf(name, by));
        entry.type = "button";
        entry.onclick = () => this.toggle(name);
        return entry;
      }));
      this.settle();
    }
    [...this.legend.children].forEach((entry, index) => entry.setAttribute("aria-pressed", String(shown.has(wanted[index]))));
  }

  #drawNow(answer, fields, shown, slow) {
    const axis = timeAxis(answer);
    const groups = answer.groups.filter(({ name }) => shown.has(name));
    const base = { starts: axis.starts, step: answer.step };
    const wanted = fields.figure === "all" ? ["", ...STAGES.map(([name]) => name)] : [fields.figure ?? ""];
    this.element.classList.toggle("all", wanted.length > 1);
    this.#keep(wanted.map((figure) => `latency ${figure}`));
    for (const figure of wanted) this.#latency(figure, wanted.length > 1 ? SMALL : LARGE, axis, groups, answer.by, base, slow);
    for (const [field, title, choices] of COUNTS) this.#count(field, title, choices, fields, axis, groups, answer, base);
  }

  // Latency charts that the choice does not include go.
  #keep(keys) {
    for (const [key] of this.#charts) {
      if (!key.startsWith("latency ") || (keys.includes(key) && this.#size === keys.length)) continue;
      this.#charts.get(key).remove();
      this.#charts.delete(key);
    }
    this.#size = keys.length;
  }

  #chart(key, title, height, place) {
    if (!this.#charts.has(key)) {
      const chart = new Chart(this.UPlot, { title, sync: SYNC, height, selected: this.selected, left: () => this.#released() });
      this.#charts.set(key, chart);
      place.append(chart.element);
    }
    return this.#charts.get(key);
  }

  #latency(figure, height, axis, groups, by, base, slow) {
    const title = figure ? STAGES.find(([name]) => name === figure)[1] : "Wait until the agent is heard";
    const chart = this.#chart(`latency ${figure}`, title, height, this.latencies);
    const lines = groups.map((group) => ({ ...group, wait: waitOf(group.total), colour: this.colour(group.name, by) }));
    const values = (group, name) => column(axis, group.points, (point) => latencyOf(point, figure, group.wait)?.[name]);
    chart.draw({
      ...base,
      none: groups.length ? "Not measured in this time." : "No group is chosen.",
      nothing: "not measured",
      format: (value) => (value === 0 ? "0" : duration(value)),
      limits: figure ? [] : [[slow[0], "--cut"], [slow[1], "--error"]],
      series: lines.flatMap((group) => [
        { label: `${group.name} p95`, colour: group.colour, dash: true, values: values(group, "p95") },
        { label: `${group.name}`, colour: group.colour, fill: lines.length === 1, values: values(group, "median") },
      ]),
      readout: (index) => lines.flatMap((group) => {
        const point = group.points.find((own) => axis.at(own) === index);
        const found = point && latencyOf(point, figure, group.wait);
        return found ? [[group.colour, nameOf(group.name, by), distribution(found)]] : [];
      }),
    });
  }

  #count(field, title, choices, fields, axis, groups, answer, base) {
    const priced = answer.groups.some(({ total }) => amountOf(total) !== null);
    const offered = choices.filter(([value]) => value !== "cost" || priced);
    const key = `${field} ${offered.length}`;
    if (!this.#charts.has(key)) this.#charts.get(`${field} ${offered.length - 1}`)?.remove();
    const chart = this.#chart(key, title, SMALL, this.counts);
    if (!this.#counts.has(key)) {
      this.#counts.set(key, new Choice(title, offered, (value) => this.change({ [field]: value })));
      if (offered.length > 1) chart.head.append(this.#counts.get(key).element);
    }
    const [value, label, count] = offered.find(([own]) => own === (fields[field] ?? "")) ?? offered[0];
    this.#counts.get(key).show(value);
    const pick = PICK[count] ?? ((point) => point[count]);
    const currency = currencyOf(answer.groups);
    const columns = groups.map(({ points }) => column(axis, points, pick, 0));
    const sums = stacked(columns);
    const bars = groups.map(({ name }, index) => ({ label: `${name} ${label}`, colour: this.colour(name, answer.by), bars: true, values: sums[index] }));
    const words = count === "cost" ? (n) => money(n, currency) : number;
    chart.draw({
      ...base,
      whole: count !== "cost",
      none: groups.length ? `No ${label.toLowerCase()} in this time.` : "No group is chosen.",
      format: count === "cost" ? (n) => (n === 0 ? "0" : money(n)) : short,
      series: bars.reverse(), // a sum hides the ones within it, so it is drawn first
      nothing: `no ${label.toLowerCase()}`,
      readout: (index) => groups.flatMap(({ name }, at) => (columns[at][index] ? [[this.colour(name, answer.by), nameOf(name, answer.by), words(columns[at][index])]] : [])),
    });
  }
}

const PICK = {
  tokens: ({ input_tokens: read, output_tokens: written }) => (read ?? 0) + (written ?? 0),
  cost: amountOf,
};
