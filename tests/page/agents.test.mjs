import assert from "node:assert/strict";
import { test } from "node:test";

import { coming, comes, ending, facts, firstSentence, live, moving, refusal, summary, troubled } from "../../static/agent-words.js";
import { company, lonely, microphone, over, unable, unreached } from "../../static/call-words.js";
import { describe } from "../../static/notes.js";

const agent = (status, more = {}) => ({ agent_id: "ag_1", mode: "worker", room: null, status, ...more });

test("the button says what there is: none, one and its state, many and the most urgent", () => {
  const said = (...states) => Object.values(summary(states.map((one) => agent(one))));
  assert.deepEqual(said(), ["Agents", ""]);
  assert.deepEqual(said("stopped", "crashed"), ["Agents", ""]); // an older crash is over
  assert.deepEqual(said("crashed", "stopped"), ["Agent: crashed", "crashed"]);
  assert.deepEqual(said("crashed", "ready"), ["Agent: ready", "ready"]);
  assert.deepEqual(said("ready", "ready", "stopped"), ["2 agents", "ready"]);
  assert.deepEqual(said("ready", "starting"), ["2 agents", "starting"]);
  assert.deepEqual(said("ready", "restarting", "stopping"), ["3 agents", "restarting"]);
});

test("which states go on, and which are about to change", () => {
  const states = ["starting", "ready", "stopping", "restarting", "stopped", "crashed"].map((one) => agent(one));
  assert.deepEqual(states.map(live), [true, true, true, true, false, false]);
  assert.deepEqual(states.map(moving), [true, false, true, true, false, false]);
  assert.deepEqual(states.map(troubled), [false, false, false, true, false, true]);
  assert.ok(troubled(agent("stopped", { error: "it ended before it was ready" })));
});

test("what is known of an agent, without what is not", () => {
  assert.match(facts(agent("ready", { pid: 42, since: 1695123456, restarts: 2, exit_code: null })), /^ag_1 · pid 42 · since \d\d:\d\d:\d\d · started again 2 times$/);
  assert.equal(facts(agent("crashed", { pid: null, restarts: 0, exit_code: -9 })), "ag_1 · ended by SIGKILL");
  assert.equal(facts(agent("crashed", { exit_code: -64 })), "ag_1 · ended by signal 64");
  assert.equal(facts(agent("crashed", { exit_code: 3 })), "ag_1 · exit code 3");
});

test("an end that was wanted is not told; another one is, in a sentence", () => {
  assert.equal(ending({ agent: "a", reason: "stopped", status: "stopped", error: "?" }), "");
  assert.equal(ending({ agent: "a", reason: "finished", status: "stopped" }), "");
  assert.equal(ending({ agent: "a", reason: "wrong settings", status: "crashed", error: "OPENAI_API_KEY is wrong: set another. Or not." }), "Agent a has crashed: OPENAI_API_KEY is wrong.");
  assert.equal(ending({ agent: "a", reason: "crashed", status: "restarting", error: "It was ended by SIGSEGV" }), "Agent a has crashed and is started again: It was ended by SIGSEGV");
  assert.equal(ending({ agent: "a", reason: "gone", status: "stopped", error: 7 }), "Agent a has ended: 7");
});

test("the first sentence is not cut within a number or an address", () => {
  assert.equal(firstSentence("LiveKit at ws://127.0.0.1:7880 does not answer. Start it."), "LiveKit at ws://127.0.0.1:7880 does not answer.");
  assert.equal(firstSentence("no end"), "no end");
});

test("a refusal in the hub's words", () => {
  const problem = { code: "agent_not_configured", detail: 'OPENAI_API_KEY is not set: set it, or start with {"mode": "scripted"}, which needs none', advice: "More." };
  assert.equal(refusal({ problem }), "OPENAI_API_KEY is not set: set it, or start one in the mode scripted, which needs none.");
  assert.equal(refusal({ problem: { code: "forbidden_origin", detail: "a page of x may not", advice: "Open it from the hub." } }), "A page of x may not. Open it from the hub.");
  assert.equal(refusal({ problem: { code: "agent_running", detail: "ag_1 (mode worker) is ready", advice: "More." } }), "ag_1 (mode worker) is ready.");
  assert.equal(refusal({ message: "No hub answers at http://h" }), "No hub answers at http://h.");
});

test("which agent would come to a room, and which is on its way", () => {
  const list = [agent("ready", { mode: "room", room: "a" }), agent("ready", { mode: "scripted" }), agent("starting", { mode: "worker", agent_id: "w" })];
  assert.deepEqual([comes(list, "a"), comes(list, "b"), coming(list, "b").agent_id], [true, false, "w"]);
  assert.ok(comes([agent("ready")], "b"));
});

test("why somebody cannot talk: the settings by name, then the library", () => {
  const { title, sentences } = unable({ features: ["agent"], livekit_missing: ["LIVEKIT_URL", "LIVEKIT_API_SECRET"] });
  assert.match(title, /needs a LiveKit server/);
  assert.match(sentences[0], /^LIVEKIT_URL and LIVEKIT_API_SECRET are not set: set them /);
  assert.match(unable({ features: ["token"] }).command, /tools\.livekit_client$/);
  assert.match(unable(undefined).sentences[0], /^LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET are not set/);
  assert.equal(unable({ features: ["token", "talk"] }), null);
});

test("why a call is over, and what is the matter with the microphone", () => {
  assert.deepEqual([over(1), over(5), over(undefined)], ["", "The call is over: the room was deleted.", "The call is over: the connection to LiveKit is gone."]);
  assert.match(microphone({ name: "NotAllowedError" }), /allow it/);
  assert.match(microphone({ name: "NotFoundError" }), /No microphone was found/);
  assert.match(microphone({ name: "NotAllowedError" }, false), /http address/);
  assert.match(microphone(undefined), /does not work: nobody knows why/);
  assert.match(unreached({ message: "could not establish signal connection: invalid token", status: 401 }, "ws://h"), /compare LIVEKIT_API_KEY/);
  assert.match(unreached({ message: "refused." }, "ws://h"), /cannot be joined \(refused\): is it running/);
  assert.equal(company([]), "nobody else is here yet");
  assert.deepEqual([true, false].map((met) => lonely({ met }).split(". ")[0]), ["The agent has left", "No agent has come"]);
  assert.equal(company([{ name: "a", agent: true, state: "thinking" }, { name: "Zoë", agent: false }]), "agent thinking, Zoë");
});

test("the note of an agent's end says why", () => {
  assert.equal(describe({ type: "agent_process_exited", agent: "a", reason: "crashed", code: 1, error: "It broke" }).text, "a · crashed · code 1 · It broke");
});
