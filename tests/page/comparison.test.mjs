import assert from "node:assert/strict";
import { test } from "node:test";

import { aligned, commonWait, judge, ofSession, ofTotal, readSide, resolutionOf, sideField } from "../../static/model/comparison.js";
import { answer, countRows, sideName, signed, verdictWords } from "../../static/words/comparison.js";

test("sides of the address, whatever the names", () => {
  assert.deepEqual(readSide("session:AS_1"), { kind: "session", id: "AS_1", room: null });
  assert.deepEqual(readSide("session:AS_1@support-7"), { kind: "session", id: "AS_1", room: "support-7" });
  assert.deepEqual(readSide("agent:assistant@1.5.0"), { kind: "agent", agent: "assistant", version: "1.5.0" });
  assert.deepEqual(readSide("agent:@2"), { kind: "agent", agent: null, version: "2" });
  for (const wrong of ["", undefined, "session:", "session:@room", "room:x", "assistant"]) assert.equal(readSide(wrong), null, String(wrong));
  for (const [name, more] of [["a@b", "c@d"], ["a%40b", null], ["ü\n", "x y"], ["room:demo", null], ["%", "%25"]]) {
    const session = { kind: "session", id: name, room: more };
    assert.deepEqual(readSide(sideField(session)), session);
    const agent = { kind: "agent", agent: name, version: more };
    assert.deepEqual(readSide(sideField(agent)), agent);
  }
  assert.equal(sideField({ kind: "agent", agent: "assistant", version: "1.5.0" }), "agent:assistant@1.5.0");
  assert.equal(sideField(null), "");
  assert.equal(sideName({ kind: "agent", agent: null, version: "2" }), "version 2");
});

const wait = (count, median, p95) => ({ count, median, p95 });
const verdicts = (a, b, resolution = 0) => ["median", "p95"].map((kind) => judge(a, b, kind, resolution).verdict);

test("few turns are not enough to tell, however large the difference", () => {
  assert.deepEqual(verdicts(wait(3, 1, 2), wait(300, 5, 9)), ["few", "few"]);
  assert.deepEqual(verdicts(wait(300, 1, 2), wait(19, 5, 9)), ["few", "few"]);
  assert.deepEqual(verdicts(wait(20, 1, 1.2), wait(20, 5, 6)), ["slower", "few"]);
});

test("a difference counts if neither chance nor the buckets explain it", () => {
  assert.deepEqual(verdicts(wait(310, 1.23, 2.4), wait(240, 1.02, 2.35), 0.07), ["faster", "same"]);
  assert.deepEqual(verdicts(wait(310, 1.23, 2.4), wait(240, 1.2, 2.4), 0.07), ["same", "same"]);
  // One bucket of 7 % is not a difference that the hub's figures can show.
  assert.deepEqual(verdicts(wait(1e6, 1, 2), wait(1e6, 1.05, 2.1), 0.07), ["same", "same"]);
  assert.deepEqual(verdicts(wait(1e6, 1, 2), wait(1e6, 1.05, 2.1), 0), ["slower", "slower"]);
  assert.equal(judge(wait(30, 0, 0), wait(30, 0, 0), "median").share, null);
});

// A verdict that chance alone brings about must be rare: two samples of one distribution, again and again.
test("equal versions are seldom called different", () => {
  let state = 7;
  const random = () => (state = (state * 16_807) % 2_147_483_647) / 2_147_483_647;
  const normal = () => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
  const sample = (count, factor = 1) => {
    const values = Array.from({ length: count }, () => factor * Math.exp(0.4 * normal())).sort((x, y) => x - y);
    const nearest = (share) => values[Math.ceil(share * count) - 1];
    return wait(count, nearest(0.5), nearest(0.95));
  };
  const rounds = 400;
  const count = (kind, factor) => Array.from({ length: rounds }, () => judge(sample(200), sample(200, factor), kind).verdict).filter((verdict) => verdict !== "same").length;
  assert.ok(count("median", 1) < 0.1 * rounds);
  assert.ok(count("p95", 1) < 0.1 * rounds);
  assert.ok(count("median", 1.25) > 0.9 * rounds);
});

test("the answer is one honest sentence", () => {
  const said = (a, b, resolution = 0) => answer(a, b, ...(a && b ? ["median", "p95"].map((kind) => judge(a, b, kind, resolution)) : []));
  assert.equal(said(wait(310, 1.23, 2.4), wait(240, 1.02, 2.35)),
    "B answers 0.21 s faster at the median (1.02 s against 1.23 s, 240 and 310 turns); at the 95th percentile there is no difference of note (2.35 s against 2.40 s).");
  assert.equal(said(wait(400, 1, 1.5), wait(400, 1.5, 2.5)),
    "B answers 0.50 s slower at the median (1.50 s against 1.00 s, 400 and 400 turns); at the 95th percentile, it is 1.00 s slower (2.50 s against 1.50 s).");
  assert.equal(said(wait(400, 1, 1.5), wait(400, 1.01, 1.5)),
    "At the median, there is no difference of note (1.01 s against 1.00 s, 400 and 400 turns); nor at the 95th percentile (1.50 s against 1.50 s).");
  assert.equal(said(wait(30, 1, 1.5), wait(30, 2, 2.5)),
    "B answers 1.00 s slower at the median (2.00 s against 1.00 s, 30 and 30 turns); the 95th percentile needs 100 turns on each side to tell.");
  assert.equal(said(wait(3, 1, 1.5), wait(300, 2, 2.5)),
    "Not enough turns to tell (300 and 3 turns; 20 on each side are needed): so far, B's median is 1.00 s slower (2.00 s against 1.00 s).");
  assert.match(said(wait(3, 1, 1.5), wait(1, 1, 1.5)), /so far, the medians are the same \(1\.00 s\)\.$/);
  assert.match(said(null, wait(3, 1, 2)), /^A has no wait .* cannot be compared\.$/);
  assert.match(said(wait(3, 1, 2), null), /^B has no wait/);
  assert.match(said(null, null), /^Neither side/);
});

test("differences in words", () => {
  assert.deepEqual([-0.214, 1.02, 0.001, -0.004, 0].map((value) => signed(value)), ["−0.21 s", "+1.02 s", "0.00 s", "0.00 s", "0.00 s"]);
  assert.equal(verdictWords({ difference: -0.21, share: -0.17, verdict: "faster" }), "−0.21 s, −17 %, faster");
  assert.equal(verdictWords({ difference: 0.1, share: null, verdict: "few" }), "+0.10 s, too few");
});

const turn = (number, total, parts = []) => ({ number, latency: { total, parts } });
const document = {
  counts: { turns: 2, errors: 1, tool_errors: 0, interruptions: 0 }, latency: { response_time: wait(2, 1, 2) }, cost: null, duration: 60,
  usage: [{ input_tokens: 10, output_tokens: 2 }, { input_tokens: 5 }], turns: [turn(1, 1, [{ name: "tools", seconds: 0.5 }]), turn(2, 2)],
};

test("a session and a version have the same figures", () => {
  const session = ofSession(document);
  assert.deepEqual([session.input_tokens, session.output_tokens, session.turns, session.sessions], [15, 2, 2, 1]);
  assert.deepEqual(session.latency.tools, wait(1, 0.5, 0.5));
  const version = ofTotal({ sessions: 3, turns: 30, errors: 0, tool_errors: 1, interruptions: 2, input_tokens: 300, output_tokens: 60, latency: { e2e_latency: wait(30, 1, 2), response_time: wait(30, 1, 2) } });
  assert.equal(commonWait(session, version), "response_time");
  assert.equal(commonWait(version, version), "e2e_latency");
  assert.equal(commonWait(version, { latency: {} }), null);
  assert.deepEqual([resolutionOf(session, session), resolutionOf(session, version)], [0, 0.07]);
  assert.deepEqual(countRows(session, version).map(({ label, values }) => [label, ...values]).slice(0, 4), [
    ["Calls", "1", "3"], ["Turns per call", "2", "10"], ["Turns", "2", "30"], ["Errors, of turns", "1 · 50 %", "0"],
  ]);
});

test("a count is called worse only if it is", () => {
  const side = (errors) => ({ sessions: 1, turns: 100, errors, tool_errors: 0, interruptions: 0, latency: {}, cost: { amount: 0.5, currency: "EUR" } });
  const worse = (a, b) => countRows(side(a), side(b)).find(({ label }) => label.startsWith("Errors")).worse;
  assert.deepEqual([worse(20, 5), worse(5, 20), worse(20, 18), worse(2, 0)], ["a", "b", "", ""]);
  assert.deepEqual(countRows(side(0), side(0)).at(-2).values, ["0.0050 EUR", "0.0050 EUR"]);
});

test("turns are aligned by number", () => {
  const rows = aligned([turn(1, 1), turn(2, 1)], [turn(2, 3), turn(4, 1)]);
  assert.deepEqual(rows.map(({ number, a, b }) => [number, a?.latency.total ?? null, b?.latency.total ?? null]), [[1, 1, null], [2, 1, 3], [4, null, 1]]);
});
