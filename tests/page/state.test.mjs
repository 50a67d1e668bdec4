import assert from "node:assert/strict";
import { test } from "node:test";

import { audible, parts, speaker, unsaid } from "../../static/model/agent-text.js";
import { State } from "../../static/model/state.js";

const state = (events, limits) => {
  const made = new State(limits);
  for (const event of events) made.apply(event);
  return made;
};
const said = (made) => made.items.filter((item) => item.kind === "said").map((item) => item.text ?? parts(item).spoken);
const user = (text, more = {}) => ({ type: "transcript", role: "user", participant: "caller", text, ...more });
const delta = (text, offset, utterance = "a1") => ({ type: "agent_text_delta", delta: text, offset, utterance });

test("interims are replaced by their final, in their place", () => {
  const made = state([
    user("What", { final: false, utterance: "u1" }),
    user("Another caller", { participant: "other" }),
    user("What is", { final: false, utterance: "u1" }),
    user("What is it?", { final: true, utterance: "u1" }),
  ]);
  assert.deepEqual(said(made), ["What is it?", "Another caller"]);
  assert.ok(made.items.every((item) => !item.interim));
});

test("without utterances, interims belong to their speaker", () => {
  const made = state([user("He", { final: false }), user("Ho", { final: false, participant: "b" }), user("Hello"), user("Hoho", { participant: "b" }), user("Again")]);
  assert.deepEqual(said(made), ["Hello", "Hoho", "Again"]);
});

test("an empty final takes its interim back", () => {
  assert.deepEqual(said(state([user("Hm", { final: false }), user("")])), []);
});

test("the last final of one utterance counts", () => {
  assert.deepEqual(said(state([user("One.", { utterance: "u" }), user("One. Two.", { utterance: "u" })])), ["One. Two."]);
});

test("agent text grows with its deltas", () => {
  const made = state([delta("It is", 0), delta(" sunny", 5)]);
  assert.deepEqual(said(made), ["It is sunny"]);
  assert.ok(made.items[0].generating);
  made.apply({ type: "agent_text_complete", text: "It is sunny.", utterance: "a1" });
  assert.deepEqual(said(made), ["It is sunny."]);
  assert.ok(!made.items[0].generating);
});

test("offsets count characters, not their halves", () => {
  const made = state([delta("👋🏽 é", 0), delta(" Grüße", 4)]);
  assert.deepEqual(said(made), ["👋🏽 é Grüße"]);
  assert.equal(made.items[0].lost, 0);
});

test("a lost delta shows, and the complete text mends it", () => {
  const made = state([delta("It", 0), delta("sunny", 6)]);
  assert.deepEqual(said(made), ["It…sunny"]);
  assert.equal(made.items[0].lost, 4);
  made.apply({ type: "agent_text_complete", text: "It is sunny", utterance: "a1" });
  assert.equal(made.items[0].lost, 0);
});

test("a repeated or rewritten delta is not doubled", () => {
  assert.deepEqual(said(state([delta("It is", 0), delta(" bad", 5), delta(" sunny", 5)])), ["It is sunny"]);
});

test("what an interruption cut off is known", () => {
  const made = state([
    delta("One two  three four", 0),
    { type: "agent_speech_started", utterance: "a1" },
    { type: "agent_speech_finished", utterance: "a1", interrupted: true, position: 1.5 },
    { type: "transcript", role: "agent", utterance: "a1", text: "One two three", interrupted: true },
  ]);
  const [item] = made.items;
  assert.deepEqual(parts(item), { spoken: "One two three", rest: " four" });
  assert.ok(item.interrupted);
  assert.equal(item.position, 1.5);
  assert.ok(!item.speaking);
});

test("what was said otherwise than generated has no rest", () => {
  const made = state([delta("One two", 0), { type: "transcript", role: "agent", utterance: "a1", text: "Eins", interrupted: true }]);
  assert.deepEqual(parts(made.items[0]), { spoken: "Eins", rest: "" });
});

test("speaking and states, per session", () => {
  const made = state([
    { type: "agent_speech_started", room: "a", session: "1" },
    { type: "user_speech_started", room: "b", session: "2" },
    { type: "agent_state_changed", new_state: "thinking", room: "b", session: "2" },
  ]);
  const [one, two] = made.sessions.values();
  assert.deepEqual([one.agentSpeaking, one.userSpeaking], [true, false]);
  assert.deepEqual([two.agentSpeaking, two.userSpeaking, two.agentState], [false, true, "thinking"]);
  made.apply({ type: "agent_speech_finished", session: "1" });
  assert.equal(one.agentSpeaking, false);
});

test("a session's end ends what went on in it", () => {
  const made = state([delta("It", 0), { type: "agent_speech_started", utterance: "a1" }, { type: "tool_call_started", call_id: "c", name: "f" }, { type: "session_ended" }]);
  const [session] = made.sessions.values();
  assert.ok(session.ended && !session.agentSpeaking);
  assert.ok(made.items.every((item) => !item.speaking && !item.generating && !item.running));
});

test("a gap ends what went on, and stands where it was", () => {
  const made = state([delta("It", 0), { type: "agent_speech_started", utterance: "a1" }, { type: "stream_gap", missed: 3, reason: "retention" }, user("after")]);
  assert.deepEqual(made.items.map((item) => item.kind), ["said", "gap", "said"]);
  assert.match(made.items[1].text, /3 events are missing here/);
  assert.equal([...made.sessions.values()][0].agentSpeaking, false);
});

test("what a publisher dropped is shown where it is missing", () => {
  const made = state([user("a"), { type: "events_dropped", count: 2, reason: "queue_full" }]);
  assert.deepEqual(made.items.map((item) => item.kind), ["said", "gap"]);
  assert.match(made.items[1].text, /had to drop 2 events/);
});

test("tools: started, finished, failed, and finished without a beginning", () => {
  const made = state([
    { type: "tool_call_started", call_id: "1", name: "f", arguments: { a: 1 } },
    { type: "tool_call_started", call_id: "2", name: "g", arguments: "{}" },
    { type: "tool_call_finished", call_id: "2", is_error: true, output: "no", duration: 0.5 },
    { type: "tool_call_finished", call_id: "3", name: "h", output: { b: 2 } },
  ]);
  const [f, g, h] = made.items;
  assert.ok(f.running && !f.finished);
  assert.deepEqual([g.running, g.failed, g.output, g.duration], [false, true, "no", 0.5]);
  assert.deepEqual([h.name, h.output], ["h", { b: 2 }]);
});

test("tools: a correction replaces the result of its call", () => {
  const finished = { type: "tool_call_finished", call_id: "1", name: "f" };
  const made = state([
    { type: "tool_call_started", call_id: "1", name: "f" },
    { ...finished, output: "over to B" },
    { ...finished, output: "it did not happen", is_error: true, correction: true },
    { ...finished, call_id: "2", output: "new", correction: true },
  ]);
  assert.deepEqual(made.items.map((item) => [item.output, item.failed]), [["it did not happen", true], ["new", false]]);
});

test("latencies go to the reply they belong to", () => {
  const made = state([delta("One", 0, "a1"), delta("Two", 0, "a2"), { type: "turn_metrics", utterance: "a1", e2e_latency: 0.9 }, { type: "turn_metrics", e2e_latency: 0.8 }]);
  assert.deepEqual(made.items.map((item) => item.metrics.e2e_latency), [0.9, 0.8]);
});

test("a room's events before its session was known become that session's", () => {
  const made = state([{ type: "livekit_room_started", room: "r" }, { type: "session_started", room: "r", session: "s" }, user("hi", { room: "r" })]);
  assert.equal(made.sessions.size, 1);
  const [session] = made.sessions.values();
  assert.deepEqual([session.room, session.name], ["r", "s"]);
});

test("events without a session make none, unknown types make no items", () => {
  const made = state([{ type: "test", message: "x" }, { type: "agent_process_started", agent: "a", pid: 1 }, { type: "mine", room: "r" }]);
  assert.deepEqual([...made.sessions.values()].map((one) => one.room), ["r"]);
  assert.deepEqual(made.items.map((item) => item.kind), ["note"]);
});

test("sessions that are busy stay, however many are begun; what was said stays too", () => {
  const made = new State({ sessions: 10, items: 1000 });
  for (let n = 0; n < 100; n += 1) {
    made.apply({ type: "livekit_participant_joined", room: `idle${n}` });
    made.apply(delta(`${n} `.padEnd(3), n * 3, "a1"));
  }
  const [item] = made.items.filter((one) => one.kind === "said");
  assert.equal(item.lost, 0);
  assert.ok(parts(item).spoken.endsWith("98 99 "));
  assert.equal(made.items.length, 101);
});

test("a session's name once more: its utterances are other ones", () => {
  const on = { session: "s", room: "r" };
  const made = state([
    { ...delta("Old text", 0), ...on }, { type: "transcript", role: "agent", utterance: "a1", text: "Old text", ...on },
    { type: "session_started", ...on }, { ...delta("New text", 0), ...on },
  ]);
  assert.deepEqual(said(made), ["Old text", "New text"]);
});

test("one name in two rooms is two sessions", () => {
  const made = state([user("a", { session: "s", room: "1" }), user("b", { session: "s", room: "2" }), user("c", { session: "s" })]);
  assert.deepEqual([...made.sessions.values()].map((one) => one.room).sort(), ["1", "2"]);
  assert.equal(made.items[2].session.room, "1"); // the first of that name, as for the hub
});

test("latencies that come first wait for their reply, and the user's are the user's", () => {
  const made = state([
    delta("One", 0, "a1"),
    { type: "turn_metrics", utterance: "a2", llm_node_ttft: 0.3 }, { type: "turn_metrics", utterance: "a2", e2e_latency: 0.9 },
    user("Yes", { utterance: "u1" }), { type: "turn_metrics", utterance: "u1", end_of_turn_delay: 0.4 },
    delta("Two", 0, "a2"),
  ]);
  const [one, yes, two] = made.items.map((item) => item.metrics);
  assert.equal(one, undefined);
  assert.equal(yes.end_of_turn_delay, 0.4);
  assert.deepEqual([two.llm_node_ttft, two.e2e_latency], [0.3, 0.9]);
});

test("without utterances, what belongs to a reply finds it, whatever comes first", () => {
  const late = { type: "transcript", role: "agent", text: "Hello" };
  const events = [{ type: "agent_text_delta", delta: "Hello", offset: 0 }, late, { type: "agent_text_complete", text: "Hello" }];
  assert.deepEqual(said(state(events)), ["Hello"]);
  assert.deepEqual(said(state([events[0], late, { type: "agent_text_delta", delta: " world", offset: 5 }])), ["Hello"]);
});

test("a delta that is late does not begin a reply again", () => {
  const made = state([delta("One", 0), { type: "agent_speech_finished", utterance: "a1", interrupted: true, position: 1 },
    { type: "transcript", role: "agent", utterance: "a1", text: "One", interrupted: true }, delta(" two", 3)]);
  assert.ok(!made.items[0].generating);
  assert.deepEqual(parts(made.items[0]), { spoken: "One", rest: " two" });
});

test("a reply that was cut off before it was heard was not said", () => {
  const made = state([delta("One", 0), { type: "agent_speech_finished", utterance: "a1", interrupted: true, position: 0 }]);
  assert.deepEqual(parts(made.items[0]), { spoken: "", rest: "One" });
  assert.ok(!made.items[0].generating);
});

test("a gap does not double what goes on after it", () => {
  const made = state([user("What", { utterance: "u", final: false }), { type: "stream_gap", reason: "retention" }, user("What is?", { utterance: "u" })]);
  assert.deepEqual(said(made), ["What is?"]);
});

test("an interim without its final is not rewritten by what is said later", () => {
  const made = state([user("Old", { final: false }), { type: "user_speech_started" }, user("New", { final: false }), user("New one")]);
  assert.deepEqual(said(made), ["Old", "New one"]);
});

test("text that began before the page was opened has lost nothing", () => {
  const made = state([delta(" sunny", 5), delta(" today", 11)]);
  assert.deepEqual([said(made), made.items[0].lost], [["… sunny today"], 0]);
});

test("a false interruption takes back what it said of its reply", () => {
  const made = state([delta("One", 0), { type: "agent_speech_finished", utterance: "a1", interrupted: true }]);
  made.take();
  made.apply({ type: "agent_false_interruption", resumed: true, utterance: "a1" });
  assert.ok(!made.items[0].interrupted && made.take().changed.has(made.items[0]));
});

test("a room that is finished ends what went on in it; if it is used again, it lives", () => {
  const made = state([{ type: "agent_speech_started", room: "r" }, { type: "livekit_room_finished", room: "r" }]);
  const [session] = made.sessions.values();
  assert.deepEqual([session.ended, session.agentSpeaking], [true, false]);
  made.apply(user("again", { room: "r" }));
  assert.ok(!session.ended);
});

test("the number of items, sessions and characters is bounded", () => {
  const many = Array.from({ length: 500 }, (_, n) => user(`${n}`, { room: `r${n}`, session: `s${n}` }));
  const made = state(many, { items: 100, sessions: 20, text: 10 });
  assert.ok(made.items.length <= 100);
  assert.equal(made.sessions.size, 20);
  assert.equal(made.forgotten, 400);
  for (let n = 0; n < 100; n += 1) made.apply(delta("0123456789", n * 10));
  assert.ok(parts(made.items.at(-1)).spoken.length <= 20 && made.items.at(-1).short);
});

test("taking what has changed: once", () => {
  const made = state([user("a", { final: false })]);
  assert.equal(made.take().added.length, 1);
  made.apply(user("ab"));
  const { added, changed } = made.take();
  assert.deepEqual([added.length, [...changed].length], [0, 1]);
  assert.deepEqual(made.take().added, []);
});

test("the same events give the same state", () => {
  const events = [user("a"), delta("b", 0), { type: "agent_speech_started" }, { type: "agent_handoff", new_agent: "B" }];
  const plain = (made) => JSON.stringify(made.items.map(({ session, ...item }) => ({ ...item, key: session?.key })));
  assert.equal(plain(state(events)), plain(state(events)));
});

test("nothing that an event may hold makes it throw", () => {
  const values = [undefined, null, 0, -1, 1e308, "", "x", [], {}, { a: { b: [1] } }, true, "<img onerror>", "__proto__"];
  const types = ["transcript", "agent_text_delta", "agent_text_complete", "agent_speech_started", "agent_speech_finished", "user_speech_started",
    "agent_state_changed", "user_state_changed", "tool_call_started", "tool_call_finished", "turn_metrics", "usage_updated", "agent_handoff",
    "agent_false_interruption", "agent_error", "agent_process_started", "agent_process_exited", "livekit_x", "stream_gap", "agent_ready",
    "session_started", "session_ended", "events_dropped", "unknown", "constructor", "toString", "__proto__"];
  const fields = ["text", "delta", "offset", "utterance", "room", "session", "participant", "role", "call_id", "name", "arguments", "output",
    "message", "source", "new_state", "model_usage", "agent", "reason", "missed", "duration", "timestamp", "final", "interrupted", "position"];
  const made = new State({ items: 50 });
  for (const type of types) {
    for (const field of fields) for (const value of values) made.apply({ type, utterance: "u", [field]: value });
    for (const value of values) made.apply({ type, ...Object.fromEntries(fields.map((field) => [field, value])) });
  }
  for (const value of values) made.apply(value);
  assert.ok(made.items.length <= 50);
});

test("an agent's process that is gone ends what it had begun, and nothing else", () => {
  const made = state([
    { type: "session_started", room: "r", session: "s" },
    { type: "agent_ready", room: "r", session: "s", agent_id: "ag_1" },
    { type: "agent_speech_started", room: "r", session: "s" },
    { type: "agent_ready", room: "q", session: "t", agent_id: "ag_2" },
    { type: "agent_process_exited", agent: "ag_1", code: -9 },
  ]);
  const of = (name) => [...made.sessions.values()].find((one) => one.name === name);
  assert.deepEqual([of("s").ended, of("s").agentSpeaking, of("t").ended], [true, false, false]);
});

const spokenAt = (made) => made.items.filter((item) => item.kind === "said").map((item) => item.text ?? parts(item).spoken);

test("what was never heard is shown as written, not as said", () => {
  const voice = [{ type: "agent_speech_started", utterance: "a0" }, { type: "agent_speech_finished", utterance: "a0", position: 1 }];
  for (const end of [
    { type: "agent_text_unsaid", utterance: "a1", generated: "One two" },
    { type: "agent_speech_finished", utterance: "a1", interrupted: true, position: 0 },
    { type: "session_ended" },
  ]) {
    const made = state([...voice, delta("One two", 0), end]);
    const item = made.items.find((one) => one.role === "agent");
    assert.deepEqual([parts(item), unsaid(item), item.generating], [{ spoken: "", rest: "One two" }, true, false]);
    assert.equal(audible(item, 100), "");
  }
});

test("a late question stands before its answer, and the page can tell where", () => {
  const made = state([
    { type: "user_speech_started", timestamp: 1 }, { type: "user_speech_finished", timestamp: 2 },
    { ...delta("Sunny", 0), timestamp: 3 }, { type: "agent_speech_started", utterance: "a1", timestamp: 3.5 },
    user("Weather?", { utterance: "u1", timestamp: 4 }),
  ]);
  assert.deepEqual(spokenAt(made), ["Weather?", "Sunny"]);
  assert.ok(made.items[0].rank < made.items[1].rank);
  assert.deepEqual(made.items.map((item) => item.at), [1, 3.5]);
});

test("a draft moves to where it is heard", () => {
  const made = state([{ ...delta("One", 0), timestamp: 1 }, user("Wait", { timestamp: 2 })]);
  made.take();
  made.apply({ type: "agent_speech_started", utterance: "a1", timestamp: 3 });
  assert.deepEqual(spokenAt(made), ["Wait", "One"]);
  assert.deepEqual([...made.take().placed], [made.items[1]]);
});

test("nothing stays open when the session ends", () => {
  const made = state([user("Well", { final: false }), user("I", { final: false, participant: "b", utterance: "u" }), { type: "session_ended" }]);
  assert.ok(made.items.filter((item) => item.kind === "said").every((item) => !item.interim && item.unconfirmed));
});

test("captions do not run ahead of the voice", () => {
  const text = "It will be sunny in the morning, and windy until the late evening.";
  const made = state([delta(text, 0)]);
  const [item] = made.items;
  assert.equal(audible(item, 0), text); // nothing has been heard of this agent so far: its text is read
  made.apply({ type: "agent_speech_started", utterance: "a1", timestamp: 10 });
  const shown = [0, 1, 2, 3, 10].map((elapsed) => audible(item, elapsed));
  assert.deepEqual(shown.slice(0, 2), ["It", "It will be sunny"]);
  assert.ok(shown.every((value, n) => text.startsWith(value) && value.length >= (shown[n - 1] ?? "").length));
  assert.equal(shown[4], text);
  made.apply({ type: "user_state_changed", new_state: "listening", timestamp: 11 }); // the page came late: the events tell
  assert.equal(audible(item, 0), shown[1]);
  made.apply({ type: "agent_speech_finished", utterance: "a1", interrupted: true, position: 2, timestamp: 12 });
  assert.equal(audible(item, 50), shown[2]);
  made.apply({ type: "transcript", role: "agent", utterance: "a1", text: "It will be", interrupted: true });
  assert.equal(audible(item, 50), "It will be");
  const slow = state([{ ...delta("今日はとても良い天気ですね、散歩に行きましょう", 0) }, { type: "agent_speech_started", utterance: "a1" }]).items[0];
  assert.ok(audible(slow, 1).length <= 8);
});

test("two people at one microphone have names", () => {
  const [one, other] = state([user("Hi", { speaker_id: "S1" }), user("Ho", { participant: undefined, speaker_id: "S2" })]).items;
  assert.deepEqual([speaker(one), speaker(other)], ["caller (S1)", "S2"]);
});
