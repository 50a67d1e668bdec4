import assert from "node:assert/strict";
import { test } from "node:test";

import { amountOf, column, currencyOf, latencyOf, lonely, newestVersions, shownField, shownOf, stacked, timeAxis, waitOf } from "../../static/model/trends.js";
import { sorted } from "../../static/model/sorting.js";
import { ago, percent, recovery } from "../../static/words/errors.js";
import { askFor, lengthOf, moment, readStretch, said, stepFor, stretch, ticks } from "../../static/words/stretches.js";
import { money, nameOf, seconds, short, slowness } from "../../static/words/trends.js";

const at = (...parts) => new Date(...parts).getTime() / 1000;

test("the address's stretch: a range, a stretch, or nonsense", () => {
  assert.deepEqual(readStretch({}), { range: "7d", since: null, until: null });
  assert.deepEqual(readStretch({ since: "30d" }), { range: "30d", since: null, until: null });
  assert.deepEqual(readStretch({ since: "<img>", until: "never" }), { range: "7d", since: null, until: null });
  assert.deepEqual(readStretch({ since: "100", until: "200.5" }), { range: null, since: 100, until: 200.5 });
  assert.deepEqual(readStretch({ until: "200" }), { range: null, since: null, until: 200 });
  assert.deepEqual(askFor(readStretch({ since: "24h" })), { since: "24h" });
  assert.deepEqual(askFor(readStretch({ since: "all" })), { since: "0" });
  assert.deepEqual(askFor({ range: null, since: 100, until: 200 }), { since: "100", until: "200" });
  assert.deepEqual(askFor({ range: null, since: null, until: 200 }), { until: "200" });
});

test("buckets are of a round length, and at most fifty", () => {
  for (const length of [1, 59, 3600, 86_400, 7 * 86_400, 30 * 86_400, 400 * 86_400, 5000 * 86_400]) assert.ok(length / stepFor(length) <= 50, String(length));
  assert.equal(stepFor(7 * 86_400), 14_400);
  assert.equal(lengthOf({ range: "24h" }, 0), 86_400);
  assert.equal(lengthOf({ range: "all" }, 0), null);
  assert.equal(lengthOf({ range: null, since: 100, until: null }, 160), 60);
  assert.equal(lengthOf({ range: null, since: 100, until: 50 }, 160), 1);
});

test("stretches in words", () => {
  const noon = at(2026, 10, 27, 12, 5);
  assert.equal(moment(noon), "27 Nov 12:05");
  assert.equal(moment(NaN), "");
  assert.equal(stretch(noon, noon + 3600), "27 Nov 12:05–13:05");
  assert.equal(stretch(noon, noon + 86_400), "27 Nov 12:05 – 28 Nov 12:05");
  assert.equal(stretch(at(2026, 10, 27), at(2026, 10, 28)), "27 Nov");
  assert.equal(stretch(at(2026, 10, 27), at(2026, 10, 30)), "27 Nov – 29 Nov");
  assert.equal(said(readStretch({ since: "1h" })), "the last hour");
  assert.equal(said({ range: null, since: noon, until: null }), "since 27 Nov 12:05");
  assert.equal(said({ range: null, since: null, until: noon }), "until 27 Nov 12:05");
  const midnight = at(2026, 10, 27);
  assert.deepEqual(ticks([midnight - 3600, midnight, midnight + 3600], 3600), ["23:00\n26 Nov", "00:00\n27 Nov", "01:00"]);
  assert.deepEqual(ticks([midnight], 86_400), ["27 Nov"]);
});

const point = (start, turns, latency = {}) => ({ at: start, turns, latency });

test("all groups share an axis; buckets without events are part of it", () => {
  const groups = [{ points: [point(125, 1), point(185, 2)] }, { points: [point(65, 5)] }];
  const axis = timeAxis({ since: 50, until: 260, step: 60, groups });
  assert.deepEqual(axis.starts, [5, 65, 125, 185, 245]);
  assert.deepEqual(column(axis, groups[0].points, ({ turns }) => turns, 0), [0, 0, 1, 2, 0]);
  assert.deepEqual(column(axis, groups[1].points, ({ turns }) => turns), [null, 5, null, null, null]);
  assert.deepEqual(timeAxis({ since: 0, until: 120, step: 60, groups: [] }).starts, [0, 60]);
  const outside = timeAxis({ since: 100, until: 200, step: 60, groups: [{ points: [point(40, 1), point(280, 1)] }] });
  assert.deepEqual(outside.starts, [40, 100, 160, 220, 280]);
  assert.equal(timeAxis({ since: 0, until: 1e12, step: 1, groups: [] }).starts.length, 5000);
});

test("columns lie on one another", () => {
  assert.deepEqual(stacked([[1, 0, 2], [1, null, 1]]), [[1, 0, 2], [2, 0, 3]]);
  assert.deepEqual(stacked([]), []);
});

test("a value without neighbours is drawn as a point", () => {
  assert.deepEqual(lonely([1, null, 2, 3, null, 0]), [0, 5]);
  assert.deepEqual(lonely([null, undefined]), []);
});

test("the wait is LiveKit's figure, or the time between events where there is none", () => {
  const both = { latency: { e2e_latency: { count: 1 }, response_time: { count: 9 } } };
  assert.equal(waitOf(both), "e2e_latency");
  assert.equal(waitOf({ latency: { e2e_latency: { count: 0 }, response_time: { count: 9 } } }), "response_time");
  assert.equal(waitOf({ latency: {} }), null);
  assert.equal(latencyOf(both, "", "response_time").count, 9);
  assert.equal(latencyOf(both, "tools", "response_time"), null);
});

test("which groups are drawn, whatever their names", () => {
  const groups = ["a,b", "~", null, "x", "y", "z"].map((name) => ({ name }));
  assert.deepEqual([...shownOf(groups)], ["a,b", "~", null, "x", "y"]);
  for (const names of [["a,b"], ["~", null], [null], ["z", "a,b"], []]) {
    const shown = new Set(names);
    assert.deepEqual(shownOf(groups, shownField(groups, shown)), shown, JSON.stringify(names));
  }
  assert.equal(shownField(groups, shownOf(groups)), "");
  assert.deepEqual([...shownOf(groups, "gone,%E0")], []);
});

test("money and its currency", () => {
  assert.equal(amountOf({ cost: { amount: 2, currency: "EUR" } }), 2);
  assert.equal(amountOf({ cost: 3 }), 3);
  assert.equal(amountOf({}), null);
  assert.equal(currencyOf([{ total: {} }, { total: { cost: { amount: 1, currency: "EUR" } } }]), "EUR");
  assert.deepEqual(["0.00 EUR", "0.0042", "12.40 EUR", ""], [money(0, "EUR"), money(0.0042), money(12.4, "EUR"), money(null)]);
});

test("numbers for axes and tables", () => {
  assert.deepEqual([0, 0.25, 950, 12_400, 971_000, 3.1e6].map(short), ["0", "0.25", "950", "12.4k", "971k", "3.1M"]);
  assert.deepEqual([0.456, 12.34, null].map(seconds), ["0.46 s", "12.3 s", ""]);
  assert.deepEqual([1.49, 1.5, 3, NaN].map((value) => slowness(value)), ["", "amber", "red", ""]);
  assert.equal(slowness(1, [0.5, 0.9]), "red");
  assert.equal(nameOf(null, "room"), "no room");
  assert.equal(nameOf("", "room"), "");
});

test("the two newest versions, the older first", () => {
  const group = (name, start) => ({ name, points: [{ at: start + 9 }, { at: start }] });
  assert.deepEqual(newestVersions([group("2.0", 30), group(null, 40), group("1.0", 10), group("1.1", 20)]), ["1.1", "2.0"]);
  assert.deepEqual(newestVersions([group("2.0", 30), { name: "3", points: [] }]), []);
});

test("rows in an order; what has no value is last either way", () => {
  const rows = [{ n: 2 }, { n: null }, { n: 10 }, { n: 1 }];
  assert.deepEqual(sorted(rows, ({ n }) => n).map(({ n }) => n), [1, 2, 10, null]);
  assert.deepEqual(sorted(rows, ({ n }) => n, true).map(({ n }) => n), [10, 2, 1, null]);
  assert.deepEqual(sorted(["b10", "b9", "a"], (text) => text), ["a", "b9", "b10"]);
  assert.equal(rows[0].n, 2);
});

test("errors in words", () => {
  assert.deepEqual([percent(0, 5), percent(1, 1000), percent(1, 12), percent(11, 12), percent(1, 0), percent(1, 1e6)], ["0 %", "0.1 %", "8.3 %", "92 %", "", "< 0.1 %"]);
  assert.deepEqual([recovery(true), recovery(false), recovery(null)], ["yes", "no", "unknown"]);
  assert.deepEqual([ago(100, 103), ago(100, 1000), ago(0, 7200), ago(0, 86_400 * 5), ago(9, 5), ago(null, NaN)], ["3 s ago", "15 min ago", "2 h ago", "5 days ago", "0 s ago", ""]);
});
