import assert from "node:assert/strict";
import { test } from "node:test";

import { explain, facts, idOf, leftOut, legend, longest, parts, pathOf, rows, silent } from "../../static/words/sessions.js";

const turn = (latency) => ({ latency });
const counts = { turns: 0, events: 1, errors: 0, tool_errors: 0, events_dropped: 0, interruptions: 0, false_interruptions: 0, tool_calls: 0 };
const quiet = { status: "live", reason: null, duration: null, counts, speech: { user: 0, agent: 0 }, agent: null, partial: false, usage: [], latency: {} };

test("the API path of a session, whatever its name", () => {
  assert.equal(pathOf({ room: "r 1", name: "a/b?" }), "/api/sessions/a%2Fb%3F?room=r%201");
  assert.equal(pathOf({ room: null, name: "AS_1" }, "/transcript.vtt"), "/api/sessions/AS_1/transcript.vtt");
  assert.equal(pathOf({ room: "demo", name: null }), "/api/sessions/room%3Ademo");
  assert.equal(idOf({ room: null, name: null }), "none");
});

test("facts without a value are left out", () => {
  assert.deepEqual(facts(quiet), [["State", "live"], ["Turns", "0"], ["Events", "1"]]);
  const busy = { ...quiet, counts: { ...counts, turns: 3, interruptions: 1, false_interruptions: 2, errors: 1, events_dropped: 1 }, partial: true };
  const said = Object.fromEntries(facts(busy));
  assert.equal(said.Turns, "3 · 1 interruption · 2 false interruptions");
  assert.equal(said.Errors, "1 error · 1 dropped event");
  assert.match(said.Events, /older ones are gone/);
});

test("the unaccounted rest of a latency is a part", () => {
  const measured = turn({ total: 1, measured: "e2e_latency", parts: [{ name: "llm_node_ttft", seconds: 0.4 }], unaccounted: 0.6 });
  assert.deepEqual(parts(measured).map(({ label, seconds }) => [label, seconds]), [["LLM", 0.4], ["unaccounted", 0.6]]);
  assert.match(explain(measured), /^1 s from the end of the user's speech.*\n400 ms until the LLM's first token\n600 ms not accounted for$/);
  const side = turn({ total: 1, measured: "events", parts: [{ name: "tools", seconds: 1.5 }], overlap: 0.5 });
  assert.match(explain(side), /between events[^]*500 ms less/);
  assert.equal(longest([measured, side, {}]), 1.5);
  assert.deepEqual(legend([side, measured]), [["tools", "tools"], ["llm_node_ttft", "LLM"], ["unaccounted", "unaccounted"]]);
  assert.equal(explain({}), "");
  assert.deepEqual(parts({}), []);
});

test("the latency table has the figures that were measured", () => {
  const found = { ...quiet, latency: { e2e_latency: { count: 2, min: 1, median: 1, p95: 2, max: 2, mean: 1.5 }, playback_latency: { count: 1, min: 1e-5, median: 1e-5, p95: 1e-5, max: 1e-5, mean: 1e-5 } } };
  assert.deepEqual(rows(found), [
    ["end to end", "e2e_latency", "1 s", "2 s", "2 s", "2"],
    ["playback", "playback_latency", "< 1 ms", "< 1 ms", "< 1 ms", "1"],
  ]);
});

test("a turn says what it does not list", () => {
  assert.equal(leftOut({}), "");
  assert.equal(leftOut({ left_out: { tools: 0 } }), "");
  assert.equal(leftOut({ left_out: { tools: 2, replies: 1 } }), "2 tool calls, 1 reply not listed");
});

test("a recording that does not play says why", () => {
  const refused = Object.assign(new Error("The hub refused: …"), { problem: { detail: "the recording of session s was erased" } });
  assert.equal(silent(refused), "The recording cannot be played: the recording of session s was erased.");
  assert.equal(silent(new Error("No hub answers at http://h")), "The recording cannot be played: No hub answers at http://h.");
  assert.equal(silent(null), "The recording cannot be played: this browser does not understand it.");
});
