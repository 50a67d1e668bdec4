// The list of sessions in words and shapes; the time axis of a session.

import assert from "node:assert/strict";
import { test } from "node:test";

import { during, extent, offset, span, turnAt, waterfall, within } from "../../static/model/timeline.js";
import { bars, doing, marked, minutes, recently, spent } from "../../static/words/session-list.js";
import { slowness } from "../../static/words/trends.js";

const SLOW = [1.5, 3];
const TURN = {
  number: 1, began: 100, user: { started: 100, stopped: 102 }, agent: { started: 103, stopped: 110 },
  latency: { total: 1, parts: [{ name: "end_of_turn_delay", seconds: 0.4 }, { name: "llm_node_ttft", seconds: 0.2 }], unaccounted: 0.4 },
};

test("a wait is amber or red from the hub's thresholds on", () => {
  assert.deepEqual([0.2, 1.5, 2.9, 3, NaN, undefined].map((wait) => slowness(wait, SLOW)), ["", "amber", "amber", "red", "", ""]);
});

test("a live session without events is silent", () => {
  const session = { status: "live", reason: null, state: { agent: "listening" }, updated: 1000 };
  assert.equal(doing(session, 1299)[0], "listening");
  assert.equal(doing(session, 1400)[0], "silent for 7 min");
  assert.equal(doing({ ...session, status: "ended" }, 9000)[0], "ended");
});

test("times and lengths", () => {
  assert.deepEqual([0, 24.9, 3723, null].map(minutes), ["0:00", "0:24", "1:02:03", ""]);
  assert.equal(recently(1000, 1000 + 7200), "2 h ago");
  assert.equal(recently(1000, 1000 + 90_000), "");
  assert.deepEqual([offset(83.44), offset(83.44, true), offset(-1), offset(3723)], ["1:23", "1:23.4", "−0:01", "1:02:03"]);
});

test("cost, or else tokens", () => {
  const usage = [{ input_tokens: 1000, output_tokens: 234 }];
  assert.equal(spent({ usage }), "1,234 tok");
  assert.equal(spent({ usage, cost: { amount: 0.0123, currency: "USD", unpriced: [] } }), "0.012 USD");
  assert.equal(spent({ usage: [] }), "");
});

test("the bars of waits never leave their picture", () => {
  const made = bars([0, 1, 2, 100, 3], SLOW, 120, 18);
  assert.deepEqual(made.map((bar) => bar.tone), ["", "", "amber", "red", "red"]);
  assert.ok(made.every(({ x, y, width, height }) => x >= 0 && x + width <= 120 && y >= 0 && y + height <= 18.01 && height >= 1));
  assert.deepEqual(bars([], SLOW, 120, 18), []);
});

test("matches in what was said", () => {
  assert.deepEqual(marked("a \ue000bc\ue001 d \ue000e\ue001"), [["a ", false], ["bc", true], [" d ", false], ["e", true]]);
  assert.deepEqual(marked("nothing"), [["nothing", false]]);
  assert.deepEqual(marked("cut \ue000off"), [["cut ", false], ["off", true]]);
});

test("the waterfall ends where the agent begins", () => {
  const parts = waterfall(TURN);
  assert.deepEqual(parts.map(({ name }) => name), ["end_of_turn_delay", "llm_node_ttft", "unaccounted"]);
  assert.equal(parts[0].start, 102);
  assert.ok(Math.abs(parts.at(-1).start + parts.at(-1).seconds - 103) < 1e-9);
  assert.deepEqual(waterfall({ number: 1, began: 5 }), []);
});

test("the axis has all turns, and the sound", () => {
  const session = { started: 100, updated: 104, ended: null, turns: [TURN], recording: { started: 99, duration: 60 } };
  assert.deepEqual(span(session), { from: 99, until: 159 });
  assert.deepEqual(span({ ...session, recording: null }), { from: 100, until: 110 });
  assert.equal(span({ started: null, updated: null, ended: null, turns: [], recording: null }), null);
});

test("the turn at a time, and those of a stretch", () => {
  const turns = Array.from({ length: 700 }, (_, n) => ({ number: n + 1, began: 10 * n, user: { started: 10 * n, stopped: 10 * n + 2 }, agent: { started: 10 * n + 3, stopped: 10 * n + 8 } }));
  assert.equal(turnAt(turns, -1), null);
  assert.equal(turnAt(turns, 25).number, 3);
  assert.equal(turnAt(turns, 1e9).number, 700);
  assert.deepEqual(within(turns, 25, 41).map(({ number }) => number), [3, 4, 5]);
  assert.deepEqual(extent(turns[2]), [20, 28]);
  assert.deepEqual(during([{ at: -5 }, { at: 9 }, { at: 15 }], turns, turns[0]).map(({ at }) => at), [-5, 9]);
});
