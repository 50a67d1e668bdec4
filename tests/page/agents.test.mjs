import assert from "node:assert/strict";
import { test } from "node:test";

import { describe } from "../../static/words/event-notes.js";
import { changing, exitMessage, facts, failed, firstSentence, links, live, refusal, startingFor, summary, willJoin } from "../../static/words/agents.js";
import { cannotTalk, companyText, connectionProblem, endReason, microphoneProblem, noAgentText } from "../../static/words/calls.js";

const agent = (status, more = {}) => ({ agent_id: "ag_1", mode: "worker", room: null, status, ...more });

test("the button's label: no agent, one with its state, or several with the most urgent state", () => {
  const said = (...states) => Object.values(summary(states.map((status) => agent(status))));
  assert.deepEqual(said(), ["Agents", ""]);
  assert.deepEqual(said("stopped", "crashed"), ["Agents", ""]); // an older crash does not matter
  assert.deepEqual(said("crashed", "stopped"), ["Agent: crashed", "crashed"]);
  assert.deepEqual(said("crashed", "ready"), ["Agent: ready", "ready"]);
  assert.deepEqual(said("ready", "ready", "stopped"), ["2 agents", "ready"]);
  assert.deepEqual(said("ready", "starting"), ["2 agents", "starting"]);
  assert.deepEqual(said("ready", "restarting", "stopping"), ["3 agents", "restarting"]);
});

test("which states are live, about to change, or failed", () => {
  const states = ["starting", "ready", "stopping", "restarting", "stopped", "crashed"].map((status) => agent(status));
  assert.deepEqual(states.map(live), [true, true, true, true, false, false]);
  assert.deepEqual(states.map(changing), [true, false, true, true, false, false]);
  assert.deepEqual(states.map(failed), [false, false, false, true, false, true]);
  assert.ok(failed(agent("stopped", { error: "it ended before it was ready" })));
});

test("an agent's details, without those that are unknown", () => {
  assert.match(facts(agent("ready", { pid: 42, since: 1695123456, restarts: 2, exit_code: null })), /^ag_1 · pid 42 · since \d\d:\d\d:\d\d · restarted 2 times$/);
  assert.equal(facts(agent("crashed", { pid: null, restarts: 0, exit_code: -9 })), "ag_1 · killed by SIGKILL");
  assert.equal(facts(agent("crashed", { exit_code: -64 })), "ag_1 · killed by signal 64");
  assert.equal(facts(agent("crashed", { exit_code: 3 })), "ag_1 · exit code 3");
});

test("a requested exit is not announced; any other is, in a sentence", () => {
  assert.equal(exitMessage({ agent: "a", reason: "stopped", status: "stopped", error: "?" }), "");
  assert.equal(exitMessage({ agent: "a", reason: "finished", status: "stopped" }), "");
  assert.equal(exitMessage({ agent: "a", reason: "wrong settings", status: "crashed", error: "OPENAI_API_KEY is wrong: set another. Or not." }), "Agent a crashed: OPENAI_API_KEY is wrong.");
  assert.equal(exitMessage({ agent: "a", reason: "crashed", status: "restarting", error: "It was ended by SIGSEGV" }), "Agent a crashed and is restarting: It was ended by SIGSEGV");
  assert.equal(exitMessage({ agent: "a", reason: "gone", status: "stopped", error: 7 }), "Agent a ended: 7");
});

test("the first sentence does not end within a number or an address", () => {
  assert.equal(firstSentence("LiveKit at ws://127.0.0.1:7880 does not answer. Start it."), "LiveKit at ws://127.0.0.1:7880 does not answer.");
  assert.equal(firstSentence("no end"), "no end");
});

test("a refusal is told in the hub's words", () => {
  const problem = { code: "agent_not_configured", detail: 'OPENAI_API_KEY is not set: set it, or start with {"mode": "scripted"}, which needs none', advice: "More." };
  assert.equal(refusal({ problem }), "OPENAI_API_KEY is not set: set it, or start one in scripted mode, which needs none.");
  assert.equal(refusal({ problem: { code: "forbidden_origin", detail: "a page of x may not", advice: "Open it from the hub." } }), "A page of x may not. Open it from the hub.");
  assert.equal(refusal({ problem: { code: "agent_running", detail: "ag_1 (mode worker) is ready", advice: "More." } }), "ag_1 (mode worker) is ready.");
  assert.equal(refusal({ message: "No hub answers at http://h" }), "No hub answers at http://h.");
});

test("which agent will join a room, now or once it has started", () => {
  const list = [agent("ready", { mode: "room", room: "a" }), agent("ready", { mode: "scripted" }), agent("starting", { mode: "worker", agent_id: "w" })];
  assert.deepEqual([willJoin(list, "a"), willJoin(list, "b"), startingFor(list, "b").agent_id], [true, false, "w"]);
  assert.ok(willJoin([agent("ready")], "b"));
});

test("what is missing to talk: the settings by name, then the library", () => {
  const { title, sentences } = cannotTalk({ features: ["agent"], livekit_missing: ["LIVEKIT_URL", "LIVEKIT_API_SECRET"] });
  assert.match(title, /needs a LiveKit server/);
  assert.match(sentences[0], /^LIVEKIT_URL and LIVEKIT_API_SECRET are not set: set them /);
  assert.match(cannotTalk({ features: ["token"] }).command, /tools\.livekit_client$/);
  assert.match(cannotTalk(undefined).sentences[0], /^LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET are not set/);
  assert.equal(cannotTalk({ features: ["token", "talk"] }), null);
});

test("why a call ended, and what is wrong with the microphone", () => {
  assert.deepEqual([endReason(1), endReason(5), endReason(undefined)], ["", "The call has ended: the room was deleted.", "The call has ended: the connection to LiveKit was lost."]);
  assert.match(microphoneProblem({ name: "NotAllowedError" }), /allow it/);
  assert.match(microphoneProblem({ name: "NotFoundError" }), /No microphone found/);
  assert.match(microphoneProblem({ name: "NotAllowedError" }, false), /only on https pages/);
  assert.match(microphoneProblem(undefined), /does not work: unknown error/);
  assert.match(connectionProblem({ message: "could not establish signal connection: invalid token", status: 401 }, "ws://h"), /compare LIVEKIT_API_KEY/);
  assert.match(connectionProblem({ message: "refused." }, "ws://h"), /^Cannot connect to LiveKit at ws:\/\/h \(refused\)\. Is it running/);
  assert.equal(companyText([]), "waiting for others to join");
  assert.deepEqual([true, false].map((met) => noAgentText({ met }).split(". ")[0]), ["The agent has left", "No agent has joined"]);
  assert.equal(companyText([{ name: "a", agent: true, state: "thinking" }, { name: "Zoë", agent: false }]), "agent thinking, Zoë");
});

test("the note about an agent's exit says why", () => {
  assert.equal(describe({ type: "agent_process_exited", agent: "a", reason: "crashed", code: 1, error: "It broke" }).text, "a · crashed · code 1 · It broke");
});

test("only addresses of the web become links, and none that shows another host", () => {
  const hostile = [
    "javascript:alert(1)", "JavaScript:alert(1)//http://a", " javascript:alert(1)", "data:text/html,<b>", "file:///etc/passwd",
    "http://localhost:8765@evil.example/", "http://a:b@evil.example", "ws://localhost:8765", "http://", "//evil.example", "", null, undefined, 7, {},
  ];
  for (const address of hostile) {
    assert.deepEqual(links({ mode: "gateway", address }), [], String(address));
    assert.equal(describe({ type: "agent_ready", message: "m", address }).address, undefined, String(address));
  }
  const address = "http://localhost:8765";
  assert.equal(describe({ type: "agent_ready", message: "m", address }).address, address);
  assert.deepEqual(links({ mode: "worker", address }), [{ label: address, url: `${address}/` }]);
  assert.deepEqual(links({ mode: "gateway", address }).map(({ label, url }) => [label, url]), [
    [address, `${address}/`],
    ["Voice", `${address}/voice.html`],
    ["Text chat", `${address}/websocket_client.html`],
    ["LLM chat", `${address}/chat_client.html`],
  ]);
  assert.match(facts({ agent_id: "ag_1", restart: "always" }), /always runs/);
});
