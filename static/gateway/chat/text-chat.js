// The text chat's page: one agent per connection, answers word by word.

import { ReconnectingSocket } from "../socket.js";
import { ChatView } from "./chat-view.js";
import { address, composer, showLinks, showState } from "./page.js";

const view = new ChatView();
let pending = 0; // messages whose result has not come

const socket = new ReconnectingSocket(address.ws("/chat"), {
  onstate: (state, detail) => {
    if (pending && (state === "reconnecting" || state === "closed")) lost();
    showState(state, detail);
  },
  onframe: (frame) => frame && take(frame),
  onopen: (resumed) => {
    if (resumed && document.querySelector("#messages > .user")) view.note("Connected again. The agent does not remember what was said before.");
  },
});

function take(frame) {
  if (frame.type === "delta") view.grow(String(frame.delta));
  if (frame.type === "complete") view.finish(String(frame.text), frame.interrupted ? "stopped" : "");
  if (frame.type === "error") {
    view.finish(null);
    view.note(String(frame.message), true);
    if (REFUSED.has(frame.code)) settle();
  }
  if (frame.type === "result") {
    for (const call of calls(frame.events ?? [])) view.tool(call);
    settle();
  }
}

const REFUSED = new Set(["empty_message", "message_too_long", "too_many_pending", "bad_frame", "bad_json", "frame_too_large"]);

// Each call with its output, newest first: they are put in front of the reply one by one.
function calls(events) {
  const outputs = events.filter(({ type }) => type === "function_call_output");
  const made = events.filter(({ type }) => type === "function_call");
  return made.map(({ name, arguments: given }, n) => `${name}(${given})${outputs[n] ? ` → ${outputs[n].output}` : ""}`).reverse();
}

function settle() {
  pending = Math.max(0, pending - 1);
  if (pending === 0) view.finish(null);
  field.busy(pending > 0);
}

// What was sent and not answered is lost with its agent; what waits for a connection is not.
function lost() {
  if (pending > socket.waiting) view.finish(null, "the connection was lost");
  pending = socket.waiting;
  if (pending) view.wait();
  field.busy(pending > 0);
}

const field = composer({
  send: (message) => {
    if (!socket.send({ message })) return false;
    pending += 1;
    view.user(message);
    if (pending === 1) view.wait();
    field.busy(true);
  },
  stop: () => socket.state === "open" && socket.send({ type: "cancel" }),
});
showLinks();
showState(socket.state, socket.detail);
