// The page of the LLM protocol: the conversation is kept here, and sent whole with each request.

import { byId, button } from "../../views/dom.js";
import { ReconnectingSocket } from "../socket.js";
import { ChatView } from "./chat-view.js";
import { address, composer, showLinks, showState } from "./page.js";

const SUGGESTIONS = ["What can you do?", "What are symptoms of a cold?", "Tell me a story"];
const path = new URL(location.href).searchParams.get("path") ?? "/llm";

const view = new ChatView();
let messages = []; // the conversation, in OpenAI's form
let waiting = []; // what the user has written while a reply grew
let request = null; // {id, text}: the request in progress
let number = 0;

const MOST_WAITING = 20;

const socket = new ReconnectingSocket(address.ws(path), {
  onstate: (state, detail) => {
    showState(state, detail);
    if (state === "closed" && request) end(request.text, "the connection was refused");
  },
  onframe: (frame) => frame && take(frame),
  onopen: (resumed) => {
    if (!resumed || !request) return;
    request.text = "";
    view.restart(); // it is sent again, and answered from the start
  },
});

const concerns = (frame, id) => frame.request_id === undefined || frame.request_id === id;
const ours = (frame) => request && concerns(frame, request.id);

// Whether request `id` needs no repetition after this frame: it is over, or nobody waits for it any more.
const over = (frame, id) => request?.id !== id || (["complete", "error"].includes(frame.type) && concerns(frame, id));

function take(frame) {
  if (!ours(frame)) {
    if (frame.type === "error" && frame.request_id === undefined) view.note(String(frame.message), true);
    return;
  }
  if (frame.type === "delta") {
    request.text += frame.content;
    view.grow(String(frame.content));
  }
  if (frame.type === "tool_call") view.note(`The model asks for a tool that this page does not have: ${frame.name}(${frame.arguments})`);
  if (frame.type === "complete") end(String(frame.content), frame.finish_reason === "cancelled" ? "stopped" : "");
  if (frame.type === "error") {
    const { text } = request;
    end(text, text ? "incomplete" : "");
    view.note(String(frame.message), true);
  }
}

function end(text, note) {
  if (text) messages.push({ role: "assistant", content: text });
  view.finish(text, note);
  request = null;
  field.busy(false);
  if (waiting.length) ask(waiting.shift());
}

function ask(words) {
  messages.push({ role: "user", content: words });
  const id = `page_${(number += 1)}_${Math.random().toString(36).slice(2, 8)}`;
  request = { id, text: "" };
  if (!socket.send({ type: "chat", messages, request_id: id }, { until: (frame) => over(frame, id) })) {
    messages.pop();
    request = null;
    waiting = [];
    view.note("The server refuses this page, so the message was not sent.", true);
    return;
  }
  view.wait();
  field.busy(true);
}

// What is written during a reply is asked after it, one by one.
function say(words) {
  if (request && waiting.length >= MOST_WAITING) return false;
  view.user(words);
  if (request) waiting.push(words);
  else ask(words);
}

const cancel = () => request && socket.send({ type: "cancel", request_id: request.id });
const field = composer({ send: say, stop: cancel });
byId("suggestions").append(...SUGGESTIONS.map((words) => button(words, () => !request && say(words))));
byId("renew").onclick = () => {
  cancel();
  request = null; // what still comes of it is not shown
  messages = [];
  waiting = [];
  view.clear();
  field.busy(false);
  byId("message").focus();
};
showLinks();
showState(socket.state, socket.detail);
