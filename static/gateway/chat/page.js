// What both chat pages do: the header, the connection's status, and the field in which the user writes.

import { byId, text } from "../../views/dom.js";
import { Address } from "../voice/model/address.js";

const here = new URL(location.href);
const given = here.searchParams.get("gateway");
if (given) here.searchParams.set("gateway", given.replace(/^ws/i, "http")); // as people write the address of a WebSocket

/** Where the gateway is, for this page. */
export const address = new Address(here.href);

/** Point the header's links to the gateway's pages. */
export function showLinks() {
  for (const link of document.querySelectorAll("header nav a")) {
    const url = address.http(link.dataset.page);
    if (url && link.getAttribute("aria-current") !== "page") link.href = url;
  }
}

const REFUSED = {
  4401: "The gateway needs a token: add ?access_token=… to this page's address",
  4403: "The gateway refuses pages of this origin (GATEWAY_ORIGINS)",
  4404: "The server at this address has no such endpoint",
};

/** Show a ReconnectingSocket's state in words. */
export function showState(state, { attempt, code } = {}) {
  const place = byId("connection");
  const words = {
    connecting: "connecting",
    open: "connected",
    reconnecting: attempt > 1 ? `no answer; trying again (attempt ${attempt})` : "disconnected; reconnecting",
    closing: "disconnected",
    closed: REFUSED[code] ?? "disconnected",
  };
  place.dataset.state = state;
  text(place, words[state]);
  place.title = address.origin;
}

/** The field: Enter sends, Shift+Enter starts a line. `send(text)` returns false if it could not be sent. */
export function composer({ send, stop }) {
  const form = byId("composer");
  const field = byId("message");
  form.onsubmit = (event) => {
    event.preventDefault();
    const words = field.value.trim();
    if (words && send(words) !== false) field.value = "";
    field.focus();
  };
  field.onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  };
  const stopButton = byId("stop");
  stopButton.onclick = () => {
    stop();
    field.focus();
  };
  document.addEventListener("keydown", (event) => event.key === "Escape" && !stopButton.hidden && stop());
  field.focus();
  return { busy: (on) => (stopButton.hidden = !on) };
}
