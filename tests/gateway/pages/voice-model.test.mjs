// The voice page's model: what is said, the turns, agreement with the server (V10, V23), frames, addresses.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../../../static/gateway/voice/model/conversation.js";
import { check } from "../../../static/gateway/voice/model/frames.js";
import { Session } from "../../../static/gateway/voice/model/session.js";
import { UnfinishedSpeech } from "../../../static/gateway/voice/model/unfinished-speech.js";
import { Address } from "../../../static/gateway/voice/model/address.js";
import { connectionWords, microphoneSentence, recordingFacts, statusSentence } from "../../../static/gateway/voice/words/sentences.js";

const partial = (text, utterance = "u1") => ({ type: "partial", text, utterance });
const final = (text, utterance = "u1") => ({ type: "final", text, utterance });
const shown = ({ utterances }) => utterances.map(({ text, final: done }) => `${text}${done ? "." : "?"}`);
const said = ({ turns }) => turns.map(({ text, reply }) => `${text} → ${reply}`);

function answered(conversation, id, text, reply) {
  conversation.ask(id, text);
  conversation.take({ type: "end", request_id: id, final_response: reply });
}

test("an interim is replaced until its final, which stays", () => {
  const conversation = new Conversation();
  for (const frame of [partial("what"), partial("what time"), final("What time is it?"), partial("what time is"), partial("and", "u2")]) conversation.hear(frame);
  assert.deepEqual(shown(conversation), ["What time is it?.", "and?"]);
  assert.equal(conversation.takeFinal(), "What time is it?");
  assert.deepEqual(shown(conversation), ["and?"]);
  conversation.hear(final("   ", "u2"));
  assert.deepEqual(shown(conversation), []);
});

test("several finals become one message; interims of a lost connection go", () => {
  const conversation = new Conversation();
  for (const frame of [final("Hello."), final("How are you?", "u2"), partial("and", "u3")]) conversation.hear(frame);
  conversation.forgetInterims();
  conversation.hear(partial("and you", "u4"));
  assert.equal(conversation.takeFinal({ all: true }), "Hello. How are you?");
  assert.deepEqual(shown(conversation), []);
});

test("a reply grows chunk by chunk; a repeated start begins it again; what comes after its end is ignored", () => {
  const seen = [];
  const conversation = new Conversation({ changed: ({ state, reply }) => seen.push(`${state} ${reply}`) });
  conversation.ask("r1", "Hello");
  const frames = [
    { type: "start" },
    { type: "chunk", content: "It " },
    { type: "chunk", content: "is " },
    { type: "start" },
    { type: "chunk", content: "It " },
    { type: "end", final_response: "It is noon." },
    { type: "chunk", content: "late" },
    { type: "end", final_response: "twice" },
  ];
  for (const frame of frames) conversation.take({ ...frame, request_id: "r1" });
  assert.deepEqual(seen, ["waiting ", "replying ", "replying It ", "replying It is ", "replying ", "replying It ", "done It is noon."]);
  assert.equal(conversation.take({ type: "chunk", content: "x", request_id: "another" }), undefined);
  assert.deepEqual(conversation.pending, []);
});

test("an interrupted reply keeps what was said", () => {
  const conversation = new Conversation();
  conversation.ask("r1", "Tell me a story");
  const turn = conversation.take({ type: "end", request_id: "r1", final_response: "Once", interrupted: true });
  assert.deepEqual([turn.state, turn.reply], ["interrupted", "Once"]);
});

test("turns are bounded and say how many are gone", () => {
  const conversation = new Conversation();
  for (let n = 0; n < 250; n += 1) answered(conversation, `r${n}`, `q${n}`, `a${n}`);
  assert.deepEqual([conversation.turns.length, conversation.dropped, conversation.turns[0].text], [200, 50, "q50"]);
});

test("the history that is sent along has whole, bounded exchanges, the newest ones", () => {
  const conversation = new Conversation();
  for (let n = 0; n < 100; n += 1) answered(conversation, `r${n}`, `q${n}`, `a${n}`);
  conversation.ask("open", "not answered");
  const history = conversation.history();
  assert.deepEqual([history.length, history[0], history.at(-1)], [40, { role: "user", content: "q80" }, { role: "assistant", content: "a99" }]);
  for (const n of [1, 2, 3]) answered(conversation, `long${n}`, "?".repeat(100), "!".repeat(15_000));
  assert.deepEqual(conversation.history().map(({ content }) => content.length), [100, 15_000, 100, 15_000]);
});

test("V23: a page without a conversation adopts the server's, once", () => {
  const conversation = new Conversation();
  const history = [
    { role: "user", content: "Hello" },
    { role: "assistant", content: "Hi!" },
    { role: "user", content: "Weather?" },
    { role: "assistant", content: "Let me see." },
    { role: "assistant", content: "Rain." },
  ];
  conversation.adopt(history);
  assert.deepEqual(said(conversation), ["Hello → Hi!", "Weather? → Let me see.\nRain."]);
  conversation.adopt(history);
  assert.equal(conversation.turns.length, 2);
  conversation.adopt([...history, { role: "user", content: "Thanks" }, { role: "assistant", content: "Welcome." }]);
  assert.equal(conversation.turns.length, 3);
});

test("V23: what waits after a reload is not shown twice, and older turns come before it", () => {
  const conversation = new Conversation();
  conversation.ask("r2", "Weather?");
  conversation.adopt([
    { role: "user", content: "Hello" },
    { role: "assistant", content: "Hi!" },
    { role: "user", content: "Weather?" },
  ]);
  assert.deepEqual(said(conversation), ["Hello → Hi!", "Weather? → "]);
  assert.deepEqual(conversation.turns.map(({ state }) => state), ["done", "waiting"]);
  // The server may not have it yet.
  const other = new Conversation();
  other.ask("r2", "Weather?");
  other.adopt([{ role: "user", content: "Hello" }, { role: "assistant", content: "Hi!" }]);
  assert.deepEqual(said(other), ["Hello → Hi!", "Weather? → "]);
});

test("V23: a server that has forgotten, or says something else, changes nothing", () => {
  const conversation = new Conversation();
  answered(conversation, "r1", "Hello", "Hi!");
  answered(conversation, "r2", "Weather?", "Rain.");
  conversation.adopt([]);
  conversation.adopt([{ role: "user", content: "Hello" }, { role: "assistant", content: "Hi!" }, { role: "user", content: "else" }]);
  assert.deepEqual(said(conversation), ["Hello → Hi!", "Weather? → Rain."]);
});

test("speech without a final transcript is kept, silence is not", () => {
  const second = () => new ArrayBuffer(32_000);
  const speech = new UnfinishedSpeech();
  for (let n = 0; n < 30; n += 1) speech.push(second(), true);
  assert.equal(speech.bytes, 64_000);
  speech.started();
  for (let n = 0; n < 5; n += 1) speech.push(second(), true);
  speech.ended();
  speech.push(second(), true);
  assert.equal(speech.bytes, 8 * 32_000);
  assert.deepEqual(speech.frames().map(({ byteLength }) => byteLength), [96_000, 96_000, 64_000]);
  speech.final();
  assert.equal(speech.bytes, 64_000);
  // A final that comes while its utterance still counts as speech.
  speech.started();
  for (let n = 0; n < 5; n += 1) speech.push(second(), true);
  speech.final();
  assert.equal(speech.bytes, 7 * 32_000);
  speech.ended();
  assert.equal(speech.bytes, 64_000);
  // Without a connection everything is kept, up to a minute, and the rest is counted.
  for (let n = 0; n < 70; n += 1) speech.push(second(), false);
  assert.deepEqual([speech.bytes, speech.lost], [60 * 32_000, 12 * 32_000]);
});

test("the chunks are joined in order", () => {
  const speech = new UnfinishedSpeech();
  for (const values of [[1, 2], [3], [4, 5, 6]]) speech.push(Int16Array.from(values).buffer, false);
  assert.deepEqual([...new Int16Array(speech.frames()[0])], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(new UnfinishedSpeech().frames(), []);
});

test("a session survives a reload, with what waits; damaged or forbidden storage does not matter", () => {
  const kept = new Map();
  const storage = () => ({ getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) });
  let n = 0;
  const uuid = () => `id-${(n += 1)}`;
  const first = new Session(storage, uuid);
  first.remember([{ id: "r1", text: "Hello" }]);
  const second = new Session(storage, uuid);
  assert.deepEqual([second.id, second.pending], ["id-1", [{ request_id: "r1", text: "Hello" }]]);
  second.remember(Array.from({ length: 50 }, (_, id) => ({ id: `${id}`, text: "x" })));
  assert.equal(new Session(storage, uuid).pending.length, 8);
  second.renew();
  assert.notEqual(new Session(storage, uuid).id, "id-1");
  for (const damaged of ["{", "null", "[]", '{"id":7,"pending":[null,{"text":1}]}', '""']) {
    kept.set("voice-session", damaged);
    assert.deepEqual(new Session(storage, uuid).pending, []);
  }
  const forbidden = () => {
    throw new Error("SecurityError");
  };
  assert.ok(new Session(forbidden, uuid).id);
});

test("frames without their fields are not used; errors always have a sentence", () => {
  for (const frame of [null, 7, "x", [], {}, { type: "chunk" }, { type: "chunk", request_id: 1, content: "x" }, { type: "toString" }, { type: "state", session_id: "s", history: [{}] }, { type: "ready" }]) assert.equal(check(frame, "replies"), null);
  assert.ok(check({ type: "chunk", request_id: "r", content: "" }, "replies"));
  assert.ok(check({ type: "speech_started" }, "transcription"));
  assert.equal(check({ type: "error", error: "Down." }, "recording").message, "Down.");
  assert.equal(check({ type: "error", message: "No.", error: "Down." }, "recording").message, "No.");
  assert.match(check({ type: "error", message: {} }, "recording").message, /without saying/);
});

test("the gateway's address: its own origin, ?gateway=, or this machine for a page from a file; the token goes nowhere else", () => {
  const at = (href, token) => new Address(href, token);
  assert.equal(at("http://localhost:8765/voice.html").ws("/ws/llm-stream"), "ws://localhost:8765/ws/llm-stream");
  assert.equal(at("https://voice.example/").ws("/x", { session_id: "a b" }), "wss://voice.example/x?session_id=a+b");
  assert.equal(at("file:///tmp/voice.html").http("/llm/query"), "http://localhost:8765/llm/query");
  assert.equal(at("http://a/?gateway=b:1").http("/x"), "http://b:1/x");
  assert.equal(at("http://a/?gateway=wss://b/ws").http("/x"), "https://b/x");
  assert.equal(at("http://a/?gateway=:::").http("/x"), "http://a/x");
  assert.equal(at("http://a/?access_token=secret").ws("/x"), "ws://a/x?access_token=secret");
  assert.equal(at("http://a/#access_token=secret").http("/x"), "http://a/x?access_token=secret");
  assert.equal(at("http://a/?gateway=b").http("/x"), "http://b/x");
  const secret = at("http://a/", "secret");
  assert.equal(secret.http("/uploads/f.wav"), "http://a/uploads/f.wav?access_token=secret");
  for (const elsewhere of ["//evil.example/f", "https://evil.example/f", "javascript:alert(1)"]) assert.equal(secret.http(elsewhere), "");
});

test("sentences say what to do", () => {
  for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError"]) assert.match(microphoneSentence({ name }), /press Start Recording again/);
  assert.match(microphoneSentence("insecure"), /https pages and on localhost/);
  assert.match(microphoneSentence({ name: "OddError", message: "odd" }), /\(odd\)/);
  assert.deepEqual(connectionWords("open"), { word: "connected", sentence: "" });
  assert.match(connectionWords("reconnecting", { attempt: 3, at: 5000 }, 1000).word, /attempt 3 in 4 s/);
  assert.match(connectionWords("reconnecting", { attempt: 3, at: 5000 }, 1000).sentence, /python -m agent\.gateway/);
  assert.match(connectionWords("closed", { code: 4401 }).sentence, /token/);
  const idle = { phase: "idle", handsFree: false, draft: false, turn: undefined, speaking: false };
  assert.match(statusSentence(idle), /Start Recording/);
  assert.match(statusSentence({ ...idle, phase: "recording", draft: true }), /Stop Recording/);
  assert.match(statusSentence({ ...idle, turn: { state: "replying" } }), /replying/);
  assert.equal(recordingFacts({ bytes: 3 * 1024, duration: 3.21, format: "wav" }), "3.2 s, 3.0 KiB, WAV");
  assert.equal(recordingFacts({ bytes: 5_000_000, format: "webm" }), "4.8 MiB, WEBM");
  assert.equal(recordingFacts({}), "");
});
