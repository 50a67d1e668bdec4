// One event in full, to read or to copy: as JSON, or as a command that posts it again.

import { byId, button, copy, el } from "./dom.js";
import { curl, pretty } from "../words/format.js";

const HUB_ONLY = /^(heartbeat|stream_(opened|gap|closing))$/;

export class Detail {
  /** `api`: the hub's; `close()`: the detail is to be closed. */
  constructor(api, close) {
    this.api = api;
    this.box = byId("detail");
    this.close = close;
    this.box.addEventListener("keydown", (event) => event.key === "Escape" && close());
  }

  /** `event`: an entry of the log, or null. */
  show(event) {
    this.box.hidden = !event;
    if (!event) return;
    const actions = [button("Copy JSON", () => copy(event.data, "Event"))];
    if (!HUB_ONLY.test(event.type)) {
      actions.push(button("Copy as curl", () => copy(curl(this.api.hub, event.data, this.api.guarded), "Command"), "A command that posts this event again"));
    }
    const id = el("code", "", event.id);
    id.title = `id ${event.id}`;
    const closeButton = button("✕", this.close);
    closeButton.ariaLabel = "Close";
    const body = el("pre", "", pretty(event.data));
    body.tabIndex = 0;
    this.box.replaceChildren(el("div", "head", id, ...actions, closeButton), body);
    this.box.scrollTop = 0;
  }
}
