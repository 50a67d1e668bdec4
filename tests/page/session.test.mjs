import assert from "node:assert/strict";
import { test } from "node:test";

import { explain, facts, idOf, legend, longest, parts, pathOf, rows } from "../../static/session-words.js";

const turn = (latency) => ({ latency });
const counts = { turns: 0, events: 1, errors: 0, tool_errors: 0, events_dropped: 0, interruptions: 0, false_interruptions: 0, tool_calls: 0 };
const quiet = { status: "live", reason: null, duration: null, counts, speech: { user: 0, agent: 0 }, agent: null, partial: false, usage: [], latency: {} };

test("a session's address, whatever it is called", () => {
  assert.equal(pathOf({ room: "r 1", name: "a/b?" }), "/api/sessions/a%2Fb%3F?room=r%201");
  assert.equal(pathOf({ room: null, name: "AS_1" }, "/transcript.vtt"), "/api/sessions/AS_1/transcript.vtt");
  assert.equal(pathOf({ room: "demo", name: null }), "/api/sessions/room%3Ademo");
  assert.equal(idOf({ room: null, name: null }), "none");
});

test("what did not happen is not said", () => {
  assert.deepEqual(facts(quiet), [["State", "live"], ["Turns", "0"], ["Events", "1"]]);
  const busy = { ...quiet, counts: { ...counts, turns: 3, interruptions: 1, false_interruptions: 2, errors: 1, events_dropped: 1 }, partial: true };
  const said = Object.fromEntries(facts(busy));
  assert.equal(said.Turns, "3 · 1 interruption · 2 false ones");
  assert.equal(said.Trouble, "1 error · 1 dropped event");
  assert.match(said.Events, /no longer keeps/);
});

test("what is left of a latency is a part that is shown", () => {
  const one = turn({ total: 1, measured: "e2e_latency", parts: [{ name: "llm_node_ttft", seconds: 0.4 }], unaccounted: 0.6 });
  assert.deepEqual(parts(one).map(({ label, seconds }) => [label, seconds]), [["LLM", 0.4], ["unaccounted", 0.6]]);
  assert.match(explain(one), /^1 s from the end of the user's speech.*\n400 ms until the LLM's first token\n600 ms that no figure accounts for$/);
  const side = turn({ total: 1, measured: "events", parts: [{ name: "tools", seconds: 1.5 }], overlap: 0.5 });
  assert.match(explain(side), /between the events[^]*500 ms less/);
  assert.equal(longest([one, side, {}]), 1.5);
  assert.deepEqual(legend([side, one]), [["tools", "tools"], ["llm_node_ttft", "LLM"], ["unaccounted", "unaccounted"]]);
  assert.equal(explain({}), "");
  assert.deepEqual(parts({}), []);
});

test("the table has the figures that were measured", () => {
  const found = { ...quiet, latency: { e2e_latency: { count: 2, min: 1, median: 1, p95: 2, max: 2, mean: 1.5 }, playback_latency: { count: 1, min: 1e-5, median: 1e-5, p95: 1e-5, max: 1e-5, mean: 1e-5 } } };
  assert.deepEqual(rows(found), [
    ["answer heard", "e2e_latency", "1 s", "2 s", "2 s", "2"],
    ["playback", "playback_latency", "< 1 ms", "< 1 ms", "< 1 ms", "1"],
  ]);
});
