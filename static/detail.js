// One event, whole, as the hub sent it; to copy, as JSON or as a command that posts it again.

import { byId, button, copy, el } from "./dom.js";
import { curl, pretty } from "./format.js";

const HUBS_OWN = /^(heartbeat|stream_(opened|gap|closing))$/;

export class Detail {
  constructor(hub, close) {
    this.hub = hub;
    this.box = byId("detail");
    this.close = close;
    this.box.addEventListener("keydown", (event) => event.key === "Escape" && close());
  }

  show(one) {
    this.box.hidden = !one;
    if (!one) return;
    const actions = [button("Copy JSON", () => copy(one.data, "The event is"))];
    if (!HUBS_OWN.test(one.type)) {
      actions.push(button("Copy as curl", () => copy(curl(this.hub, one.data), "The command is"), "A command that posts this event again"));
    }
    const id = el("code", "", one.id);
    id.title = `id ${one.id}`;
    const shut = button("✕", this.close);
    shut.ariaLabel = "Close";
    const body = el("pre", "", pretty(one.data));
    body.tabIndex = 0;
    this.box.replaceChildren(el("div", "head", id, ...actions, shut), body);
    this.box.scrollTop = 0;
  }
}
