import assert from "node:assert/strict";
import { test } from "node:test";

import { Seen, parse } from "../../static/model/cursor.js";
import { clock, curl, duration, oneLine, pretty } from "../../static/words/format.js";
import { latencies } from "../../static/words/event-notes.js";
import { address, read } from "../../static/model/settings.js";
import { Store, matcher } from "../../static/model/store.js";
import { summary, tone } from "../../static/words/event-summary.js";

const entry = (n, more = {}) => {
  const event = { type: "n", n, ...more };
  return { id: `e-${n}`, data: JSON.stringify(event), type: event.type, room: event.room, session: event.session, at: 0 };
};

test("numbers are shown as written", () => {
  const data = '{"big":12345678901234567890123,"one":1.0,"exp":1e3,"text":"1.0","deep":[[0.10]]}';
  assert.equal(pretty(data).replace(/\s/g, ""), data);
  assert.equal(pretty("no json"), "no json");
});

test("a curl command is quoted for the shell and has no event_id", () => {
  assert.equal(
    curl("http://h:1", `{"type":"t","text":"it's","event_id":"e","n":1.0}`),
    `curl 'http://h:1/api/agent/data' -H 'Content-Type: application/json' -d '{"type":"t","text":"it'\\''s","n":1.0}'`,
  );
});

test("durations and times", () => {
  assert.deepEqual([0.0004, 0.82, 0.9999, 2.44, 61, 600, 7200, 604800, NaN].map(duration), ["< 1 ms", "820 ms", "1 s", "2.4 s", "61 s", "10 min", "2 h", "7 days", ""]);
  assert.match(clock(1695123456.789, true), /^\d\d:\d\d:\d\d\.789$/);
  assert.deepEqual([clock(undefined), clock(1e20)], ["", "100000000000000000000"]);
});

test("one line from long and broken text", () => {
  assert.equal(oneLine("a\nb\u2028c"), "a ⏎ b ⏎ c");
  assert.equal(oneLine("x".repeat(1000)).length, 301);
});

test("latencies: the first figure, and all of them explained; no figure is not 0", () => {
  assert.equal(latencies({ e2e_latency: 0.92, llm_node_ttft: 0.3 }).short, "920 ms");
  assert.match(latencies({ e2e_latency: 0.92, llm_node_ttft: 0.3 }).long, /llm_node_ttft 300 ms: request until/);
  assert.equal(latencies({ llm_node_ttft: 0.3 }).short, "LLM 300 ms");
  assert.equal(latencies({}), null);
});

test("summaries", () => {
  assert.equal(summary({ type: "transcript", participant: "p", text: "a\nb" }), "p: a ⏎ b");
  assert.equal(summary({ type: "tool_call_finished", name: "f", output: { a: 1 }, is_error: true, duration: 1.5 }), 'f → failed {"a":1} (1.5 s)');
  assert.equal(summary({ type: "mine", room: "r", a: { b: [1] } }), '{"a":{"b":[1]}}');
  assert.equal(summary({ type: "test" }), "");
  assert.equal(summary({ type: "constructor", a: 1 }), `{"a":1}`);
  assert.equal(summary({ type: "usage_updated", model_usage: 7 }), '{"model_usage":7}');
  assert.deepEqual(["agent_error", "tool_call_started", "user_speech_started", "x"].map((type) => tone({ type })), ["error", "tool", "user", ""]);
});

test("cursors: each event once, from either source", () => {
  assert.deepEqual(parse("ab1-20"), { epoch: "ab1", offset: 20 });
  assert.equal(parse("x"), null);
  const seen = new Seen();
  assert.deepEqual(["e-1", "e-2", "e-2", "e-1", "e-5", "f-1", "f-1"].map((id) => seen.take(id)), [true, true, false, false, true, true, false]);
  seen.gap({ reason: "too_slow", from: "f-1", to: "f-9" });
  assert.ok(seen.take("f-5"));
});

test("two histories alternating: each event of each once", () => {
  const seen = new Seen();
  assert.deepEqual(["e-1", "f-1", "e-1", "f-1", "e-2"].map((id) => seen.take(id)), [true, true, false, false, true]);
});

test("a hub restored from an older copy assigns its offsets again", () => {
  const seen = new Seen();
  seen.take("e-500");
  seen.gap({ reason: "future_cursor", from: "e-500", to: "e-95" });
  assert.ok(seen.take("e-96"));
  const newcomer = new Seen(); // it has seen the restored hub only
  newcomer.take("e-100");
  newcomer.gap({ reason: "future_cursor", from: "e-500", to: "e-95" });
  assert.ok(!newcomer.take("e-96"));
});

test("filters: room, types with stars, text in any case; gaps are always shown", () => {
  const events = [entry(1, { type: "agent_error", room: "a", text: "It's (here)" }), entry(2, { type: "transcript", room: "b" }), entry(3, { type: "stream_gap" })];
  const count = (wanted) => events.filter(matcher(wanted)).map((event) => event.id);
  assert.deepEqual(count({}), ["e-1", "e-2", "e-3"]);
  assert.deepEqual(count({ room: "a" }), ["e-1", "e-3"]);
  assert.deepEqual(count({ type: "agent_*, x" }), ["e-1", "e-3"]);
  assert.deepEqual(count({ type: "TRANSCRIPT" }), ["e-2", "e-3"]);
  assert.deepEqual(count({ text: "(HERE" }), ["e-1", "e-3"]);
  assert.deepEqual([entry(1, { text: 'say "hi" \\o/' })].filter(matcher({ text: '"hi" \\o' })).length, 1);
  assert.deepEqual(count({ nameless: true }), ["e-3"]);
  assert.deepEqual(count({ type: "(((" }), ["e-3"]);
});

test("the store keeps the newest events, by number and by size, and counts those it drops", () => {
  const store = new Store({ events: 100, characters: 1e6 });
  store.filter({ type: "n" });
  for (let n = 0; n < 1000; n += 1) store.add(entry(n));
  assert.ok(store.all.length <= 100 && store.all.length >= 98);
  assert.equal(store.all.length + store.forgotten, 1000);
  assert.equal(store.all.at(-1).id, "e-999");
  assert.deepEqual(store.shown, store.all);
  const big = new Store({ events: 100, characters: 1000 });
  for (let n = 0; n < 50; n += 1) big.add(entry(n, { text: "x".repeat(100) }));
  assert.ok(big.characters <= 1000 && big.all.length > 1);
  assert.equal(big.characters, big.all.reduce((sum, event) => sum + event.data.length, 0));
});

test("older events are put before the others, as many as there is room for", () => {
  const store = new Store({ events: 5 });
  store.add(entry(9));
  assert.equal(store.prepend([1, 2, 3, 4, 5, 6].map((n) => entry(n))), 4);
  assert.deepEqual(store.all.map((event) => event.id), ["e-3", "e-4", "e-5", "e-6", "e-9"]);
});

test("settings to an address, and back", () => {
  const view = { room: "a & b", type: "agent_*", theme: "dark", chosen: {} };
  const link = address("http://h/?old=1#x", view);
  assert.equal(link, "http://h/?room=a+%26+b&type=agent_*&theme=dark");
  assert.deepEqual(read(link), { room: "a & b", type: "agent_*", theme: "dark" });
  const file = address("file:///x/stream-test.html", { hub: "http://h:1", text: "é" });
  assert.equal(new URL(file).search, "");
  assert.deepEqual(read(file), { hub: "http://h:1", text: "é" });
});
