// Posting an event from the page, to try out what it does.

import { byId, button, copy, el } from "./dom.js";
import { curl, plural } from "./format.js";
import { ask } from "./source.js";

/** Post one event; the hub's answer, or an error that says why not, in the hub's words. */
export function publish(hub, body) {
  return ask(`${hub}/api/agent/data`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
}

export class Poster {
  /** `play()`: play the example conversation. */
  constructor(hub, play) {
    this.hub = hub;
    this.dialog = byId("poster");
    this.types = el("select");
    this.types.ariaLabel = "Type";
    this.body = el("textarea");
    this.body.ariaLabel = "The event, as JSON";
    this.body.spellcheck = false;
    this.answer = el("output");
    const title = el("h2", "", "Post an event");
    title.id = "poster-title";
    const send = button("Post", () => this.#send());
    send.className = "primary";
    this.dialog.append(
      title,
      this.types,
      this.body,
      this.answer,
      el("div", "actions", button("Play an example conversation", () => this.#play(play)), button("Copy as curl", () => this.#copy()), button("Close", () => this.dialog.close()), send),
    );
    this.types.onchange = () => this.#example();
    this.dialog.addEventListener("keydown", (event) => event.key === "Escape" && this.dialog.close());
    this.body.onkeydown = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.#send();
  }

  /** `config`: the hub's; it names the types and has an example of each. */
  open(config, room) {
    this.room = room;
    const types = (config?.types ?? []).filter((one) => !one.hub_only && one.example);
    this.examples = new Map([["test", { type: "test", message: "Hello from the page" }], ...types.map((one) => [one.type, one.example])]);
    const chosen = this.types.value || "test";
    this.types.replaceChildren(...[...this.examples.keys()].map((type) => Object.assign(el("option", "", type), { value: type })));
    this.types.value = this.examples.has(chosen) ? chosen : "test";
    if (!this.body.value || this.body.value === this.shown) this.#example();
    this.#say("");
    this.dialog.showModal();
    this.body.focus();
  }

  #play(play) {
    this.dialog.close();
    play();
  }

  #example() {
    const { type, ...rest } = this.examples.get(this.types.value);
    this.shown = JSON.stringify({ type, ...(this.room ? { room: this.room } : {}), ...rest }, null, 2);
    this.body.value = this.shown;
  }

  #say(message, bad = false) {
    this.answer.textContent = message;
    this.answer.className = bad ? "bad" : "";
  }

  async #send() {
    try {
      JSON.parse(this.body.value);
    } catch (error) {
      return this.#say(`This is not JSON: ${error.message}`, true);
    }
    try {
      const answer = await publish(this.hub, this.body.value);
      const notified = plural(answer.clients_notified ?? 0, "subscriber was", "subscribers were");
      this.#say(answer.duplicate ? `The hub has it already, as ${answer.id}` : `Kept as ${answer.id ?? answer.last_id}; ${notified} notified`);
    } catch (error) {
      this.#say(error.message, true);
    }
  }

  #copy() {
    try {
      copy(curl(this.hub, this.body.value), "The command is");
      this.#say("The command is copied");
    } catch (error) {
      this.#say(`This is not JSON: ${error.message}`, true);
    }
  }
}
