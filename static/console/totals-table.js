// The totals of each group as a table: what the charts show, in numbers.

import { amountOf, currencyOf, latencyOf, waitOf } from "../model/trends.js";
import { el } from "../views/dom.js";
import { number } from "../words/format.js";
import { GROUPINGS, STAGES, money, nameOf, seconds, short, slowness } from "../words/trends.js";

/** A table of an answer of /api/series. `link(name, words)`: what a group's name leads to; `slow`: the thresholds of a wait. */
export function totalsTable({ groups, by }, { caption, colour, link, slow }) {
  const currency = currencyOf(groups);
  const priced = groups.some(({ total }) => amountOf(total) !== null);
  const heads = (...labels) => labels.map((label, index) => head(label, "col", index ? "" : "apart"));
  const latencies = [["", "Wait"], ...STAGES];
  const top = el("tr", "", head(GROUPINGS.find(([value]) => value === by)[1], "col", "", { rowSpan: 2 }),
    ...["Calls", "Turns"].map((label) => head(label, "col", "", { rowSpan: 2 })),
    ...latencies.map(([, label]) => head(label, "colgroup", "pair", { colSpan: 2 })),
    ...["Errors", "Tool errors", "Interruptions", "Tokens", ...(priced ? [`Cost${currency && `, ${currency}`}`] : [])].map((label) => head(label, "col", "", { rowSpan: 2 })));
  const below = el("tr", "", ...latencies.flatMap(() => heads("median", "p95")));
  const rows = groups.map(({ name, total }) => {
    const swatch = el("i", "swatch");
    swatch.style.background = `var(${colour(name)})`;
    const wait = waitOf(total);
    const title = el("th", "", swatch, link(name, nameOf(name, by)));
    title.scope = "row";
    if (wait === "response_time") title.append(" ", el("span", "hint", "measured between events"));
    return el("tr", "", title, cell(number(total.sessions)), cell(number(total.turns)),
      ...latencies.flatMap(([figure]) => {
        const found = latencyOf(total, figure, wait);
        return ["median", "p95"].map((kind) => cell(seconds(found?.[kind]), `${kind === "median" ? "apart " : ""}${figure ? "" : slowness(found?.[kind], slow)}`.trim()));
      }),
      cell(number(total.errors), total.errors ? "worse" : ""), cell(number(total.tool_errors), total.tool_errors ? "worse" : ""), cell(number(total.interruptions)),
      cell(short((total.input_tokens ?? 0) + (total.output_tokens ?? 0))),
      ...(priced ? [cell(money(amountOf(total)))] : []));
  });
  return el("table", "figures", el("caption", "", caption), el("thead", "", top, below), el("tbody", "", ...rows));
}

/** A header cell. */
export function head(label, scope = "col", name = "", more = {}) {
  return Object.assign(el("th", name, label), { scope, ...more });
}

/** A cell with a number; an empty one says that there is no value. */
export function cell(words, name = "") {
  return words === "" ? el("td", `${name} unknown`.trim(), "–") : el("td", name, words);
}
