// The dialog that posts an event from the page, to try it out.

import { byId, button, copy, el } from "./dom.js";
import { curl, plural } from "../words/format.js";

export class Poster {
  /** `play()`: play the example conversation. */
  constructor(api, play) {
    this.api = api;
    this.dialog = byId("poster");
    this.types = el("select");
    this.types.ariaLabel = "Type";
    this.body = el("textarea");
    this.body.ariaLabel = "The event, as JSON";
    this.body.spellcheck = false;
    this.result = el("output");
    const title = el("h2", "", "Post an event");
    title.id = "poster-title";
    const send = button("Post", () => this.#send());
    send.className = "primary";
    this.dialog.append(
      title,
      this.types,
      this.body,
      this.result,
      el("div", "actions", button("Play an example conversation", () => this.#play(play)), button("Copy as curl", () => this.#copy()), button("Close", () => this.dialog.close()), send),
    );
    this.types.onchange = () => this.#example();
    this.dialog.addEventListener("keydown", (event) => event.key === "Escape" && this.dialog.close());
    this.body.onkeydown = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.#send();
  }

  /** `config`: the hub's, with an example of each type; `room`: the room to suggest. */
  open(config, room) {
    this.room = room;
    const types = (config?.types ?? []).filter((type) => !type.hub_only && type.example);
    this.examples = new Map([["test", { type: "test", message: "Hello from the page" }], ...types.map(({ type, example }) => [type, example])]);
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
    this.result.textContent = message;
    this.result.className = bad ? "bad" : "";
  }

  async #send() {
    try {
      JSON.parse(this.body.value);
    } catch (error) {
      return this.#say(`This is not JSON: ${error.message}`, true);
    }
    try {
      const response = await this.api.publish(this.body.value);
      const notified = plural(response.clients_notified ?? 0, "subscriber");
      this.#say(response.duplicate ? `A duplicate of ${response.id}` : `Stored as ${response.id ?? response.last_id}, ${notified} notified`);
    } catch (error) {
      this.#say(error.message, true);
    }
  }

  #copy() {
    try {
      copy(curl(this.api.hub, this.body.value, this.api.guarded), "Command");
      this.#say("Command copied");
    } catch (error) {
      this.#say(`This is not JSON: ${error.message}`, true);
    }
  }
}
