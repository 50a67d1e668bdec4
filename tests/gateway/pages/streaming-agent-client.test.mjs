// StreamingAgentClient against a real gateway (W23): the usage of its documentation.

import assert from "node:assert/strict";
import test from "node:test";
import { StreamingAgentClient } from "../../../static/gateway/streaming-agent-client.js";

const url = process.env.GATEWAY_CHAT; // ws://…/chat

test("deltas, complete and result arrive", { skip: !url }, async () => {
  const client = new StreamingAgentClient(url);
  const deltas = [];
  let whole = "";
  let last = "";
  client.onDelta = (delta, accumulated) => {
    deltas.push(delta);
    last = accumulated;
  };
  client.onComplete = (text) => (whole = text);
  const result = new Promise((resolve) => (client.onResult = resolve));
  await client.connect();
  client.send("What is the weather in San Francisco?");
  const events = await result;
  assert.deepEqual(events.map(({ type }) => type), ["function_call", "function_call_output", "message"]);
  assert.equal(deltas.join(""), whole);
  assert.equal(last, whole);
  const error = new Promise((resolve) => (client.onError = resolve));
  client.send(" ");
  assert.match(await error, /empty/);
  const closed = new Promise((resolve) => (client.onClose = resolve));
  client.close();
  await closed;
  assert.throws(() => client.send("too late"), /connect/);
});

test("a gateway that does not answer rejects the promise", async () => {
  const client = new StreamingAgentClient("ws://127.0.0.1:9");
  await assert.rejects(client.connect(), /No gateway answers/);
  assert.throws(() => client.send("x"), /connect/);
});
