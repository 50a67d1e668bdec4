// ReconnectingSocket: with an injected clock and socket, and with real sockets against a real server (V18–V21).

import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { ReconnectingSocket } from "../../../static/gateway/socket.js";

/** A clock that runs only when told. */
class Clock {
  constructor() {
    this.time = 0;
    this.timers = new Map();
    this.id = 0;
  }
  setTimeout = (act, delay) => (this.timers.set(++this.id, { act, at: this.time + delay }), this.id);
  clearTimeout = (id) => this.timers.delete(id);
  pass(milliseconds) {
    const end = this.time + milliseconds;
    for (;;) {
      const due = [...this.timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      this.timers.delete(due[0]);
      this.time = due[1].at;
      due[1].act();
    }
    this.time = end;
  }
}

class Peer {
  constructor(url) {
    Object.assign(this, { url, readyState: 0, sent: [], closed: null });
  }
  open() {
    this.readyState = 1;
    this.onopen();
  }
  send(data) {
    this.sent.push(data);
  }
  receive(frame) {
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }
  close(code) {
    this.readyState = 3;
    this.closed = code;
  }
  fail(code = 1006) {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

function made(options = {}) {
  const clock = new Clock();
  const peers = [];
  const states = [];
  const frames = [];
  const socket = new ReconnectingSocket("ws://gateway", {
    clock, now: () => clock.time, random: () => 1,
    makeSocket: (url) => (peers.push(new Peer(url)), peers.at(-1)),
    onstate: (state, detail) => states.push({ state, ...detail }),
    onframe: (frame) => frames.push(frame),
    ...options,
  });
  return { clock, peers, states, frames, socket, peer: () => peers.at(-1) };
}

test("the delays grow, are capped, have jitter, and start over after a success (V19)", () => {
  const { clock, peers, peer, states } = made();
  const delays = [];
  for (let n = 0; n < 8; n++) {
    const before = clock.time;
    peer().fail();
    delays.push(states.at(-1).at - before);
    clock.pass(states.at(-1).at - before);
  }
  assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
  assert.equal(peers.length, 9);
  peer().open();
  peer().receive({ type: "ready" });
  peer().fail();
  assert.equal(states.at(-1).at - clock.time, 500);

  const low = made({ random: () => 0 });
  low.peer().fail();
  assert.equal(low.states.at(-1).at, 250);
});

test("a connection that is refused at once does not count as a success", () => {
  const { clock, peer, states } = made();
  for (const expected of [500, 1000, 2000]) {
    peer().open();
    peer().fail(1011);
    assert.equal(states.at(-1).at - clock.time, expected);
    clock.pass(expected);
  }
  peer().open();
  clock.pass(3000);
  peer().fail();
  assert.equal(states.at(-1).at - clock.time, 500);
});

test("the states can be asked for and are told (V18)", () => {
  const { clock, peer, states, socket } = made();
  assert.equal(socket.state, "connecting");
  peer().open();
  peer().fail(1001);
  assert.equal(socket.detail.code, 1001);
  clock.pass(500);
  peer().open();
  socket.close();
  socket.close();
  assert.deepEqual(states.map(({ state }) => state), ["connecting", "open", "reconnecting", "reconnecting", "open", "closing", "closed"]);
  assert.equal(clock.timers.size, 0);
  assert.equal(socket.send({}), false);
});

test("a refusal for good ends it", () => {
  for (const code of [4401, 4403, 4404]) {
    const { clock, peer, socket } = made();
    peer().fail(code);
    assert.deepEqual([socket.state, socket.detail.code, clock.timers.size], ["closed", code, 0]);
  }
});

test("silence is followed by a ping, and then by a new connection (V20)", () => {
  const { clock, peers, peer, states, frames } = made({ heartbeat: 1000, stale: 300 });
  peer().open();
  clock.pass(999);
  assert.deepEqual(peer().sent, []);
  clock.pass(1);
  assert.deepEqual(peer().sent, ['{"type":"ping"}']);
  peer().receive({ type: "pong" });
  assert.deepEqual(frames, []);
  clock.pass(1299);
  assert.equal(peers.length, 1);
  clock.pass(1);
  assert.deepEqual([peers[0].closed, states.at(-1).state], [4000, "reconnecting"]);
  clock.pass(500);
  assert.equal(peers.length, 2);
  clock.pass(1300);
  assert.equal(states.at(-1).state, "reconnecting", "an attempt that hangs is given up as well");
});

test("what is sent while offline is delivered once and in order, after what onopen sends (V21, V23)", () => {
  const { clock, peer, socket } = made({ onopen: (resumed) => socket?.send({ type: "sync", resumed }), queue: 3 });
  assert.deepEqual([1, 2, 3, 4].map((n) => socket.send({ n })), [true, true, true, false]);
  assert.equal(socket.send(new ArrayBuffer(2)), false, "sound that is late is of no use");
  peer().open();
  assert.deepEqual(peer().sent.map(JSON.parse), [{ type: "sync", resumed: false }, { n: 1 }, { n: 2 }, { n: 3 }]);
  socket.send({ n: 5 });
  assert.equal(peer().sent.length, 5);
  peer().fail();
  clock.pass(500);
  peer().open();
  assert.deepEqual(peer().sent.map(JSON.parse), [{ type: "sync", resumed: true }]);
  assert.equal(socket.waiting, 0);
});

test("a frame with `until` is sent again until it is answered (V21)", () => {
  const { clock, peer, socket } = made();
  peer().open();
  socket.send({ request_id: "a" }, { until: (frame) => frame.request_id === "a" });
  socket.send({ request_id: "b" }, { until: (frame) => frame.request_id === "b" });
  socket.send({ once: true });
  peer().receive({ request_id: "a", type: "end" });
  peer().fail();
  socket.send({ later: true });
  clock.pass(500);
  peer().open();
  assert.deepEqual(peer().sent.map(JSON.parse), [{ request_id: "b" }, { later: true }]);
  peer().receive({ request_id: "b", type: "error" });
  assert.equal(socket.waiting, 0);
});

test("waking tries at once", () => {
  const { peers, peer, socket, clock } = made();
  peer().fail();
  socket.wake();
  assert.equal(peers.length, 2);
  socket.wake();
  assert.equal(peers.length, 2);
  clock.pass(500);
  assert.equal(peers.length, 2);
});

const url = process.env.GATEWAY; // a real gateway's ws://…/ws

test("a real gateway: an echo, and a new connection after the old one is cut", { skip: !url }, async () => {
  const frames = [];
  let heard;
  const next = () => new Promise((resolve) => (heard = resolve));
  const socket = new ReconnectingSocket(url, { first: 10, onframe: (frame, text) => (frames.push(text), heard?.(text)) });
  let answered = next();
  socket.send("hello");
  assert.equal(await answered, "hello");
  const old = socket.socket;
  answered = next();
  old.close(1000);
  await once(old, "close");
  socket.send("again");
  assert.equal(await answered, "again");
  assert.deepEqual(frames, ["hello", "again"]);
  socket.close();
});
