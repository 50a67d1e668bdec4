// The conversation of a chat page: messages, replies that grow, and what is to be known about them. Text is never parsed.

import { byId, el, Follow, text } from "../../views/dom.js";

export class ChatView {
  constructor() {
    this.list = byId("messages");
    this.follow = new Follow(byId("scroll"), byId("newest"));
    this.reply = null; // {item, bubble, node, cursor}: the reply that grows
  }

  /** What the user has written. */
  user(words) {
    byId("empty").hidden = true;
    this.#add("user", el("div", "bubble", words));
    this.follow.go();
  }

  /** A piece of the reply; the first one begins it. */
  grow(delta) {
    const { node } = (this.reply ??= this.#begin());
    node.appendData(delta);
    this.follow.keep();
  }

  /** Show that a reply is awaited. */
  wait() {
    this.reply ??= this.#begin();
    this.follow.keep();
  }

  /** Start the reply over: it is asked for again. */
  restart() {
    if (this.reply) this.reply.node.data = "";
  }

  /** The reply is over. `whole`: its text; `note`: what else is to be known, for example that it was stopped. */
  finish(whole = null, note = "") {
    const reply = this.reply;
    if (!reply) return;
    this.reply = null;
    reply.cursor.remove();
    reply.item.classList.remove("streaming");
    if (whole !== null && whole !== reply.node.data) reply.node.data = whole;
    if (note) reply.item.append(el("span", "note", note));
    if (!reply.node.data && !note) reply.item.remove();
    text(byId("announce"), reply.node.data);
    this.last = reply.item;
    this.follow.keep();
  }

  /** A tool call of the last reply: `lookup_weather({"location": "Oslo"}) → sunny`. */
  tool(call) {
    const line = el("span", "tool", call);
    if (this.last?.isConnected) this.last.prepend(line);
    else this.#add("agent", line);
    this.follow.keep();
  }

  /** A sentence between the messages; `bad`: something failed. */
  note(sentence, bad = false) {
    const item = this.#add(bad ? "note bad" : "note", sentence);
    if (bad) item.setAttribute("role", "alert");
    this.follow.keep();
  }

  clear() {
    this.reply = this.last = null;
    this.list.replaceChildren();
    byId("empty").hidden = false;
  }

  #begin() {
    const node = document.createTextNode("");
    const cursor = el("span", "cursor", "|");
    cursor.ariaHidden = "true";
    const item = this.#add("agent streaming", el("div", "bubble", node, cursor));
    return { item, node, cursor };
  }

  #add(kind, ...children) {
    const item = el("li", kind, ...children);
    this.list.append(item);
    return item;
  }
}
