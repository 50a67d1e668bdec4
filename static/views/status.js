// The connection to the hub: its state in a word, and in full with the reason and the time of the next attempt.

import { byId, el, text } from "./dom.js";
import { duration, plural } from "../words/format.js";

const HOW = {
  shared: "one stream for all tabs of this browser",
  elected: "one stream for all tabs of this browser",
  own: "a stream for this tab alone",
};

export class Status {
  constructor(hub) {
    this.hub = hub;
    this.word = byId("connection");
    this.count = el("span");
    this.count.ariaHidden = "true"; // a screen reader would read every second
    this.label = document.createTextNode("");
    this.word.replaceChildren(this.label, this.count);
    this.status = { state: "connecting" };
    this.paused = null;
    byId("hub-address").value = hub;
    byId("help").href = `${hub}/docs/guide/`;
    byId("docs").href = `${hub}/docs`;
    byId("try-now").onclick = () => this.feed?.retry();
    addEventListener("online", () => this.feed?.retry());
    setInterval(() => this.status.state === "waiting" && this.render(), 500);
    document.addEventListener("click", (event) => {
      if (!byId("where").contains(event.target)) byId("where").open = false;
    });
    byId("where").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      byId("where").open = false;
      byId("where").firstElementChild.focus();
    });
  }

  render() {
    const { state, reason, kind, retryAt, config, skew, degraded } = this.status;
    const waiting = state === "waiting";
    const left = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    const broken = waiting || (state === "connecting" && reason);
    const words = { connecting: reason ? "reconnecting" : "connecting", live: degraded ? "live, but not storing" : "live", waiting: { foreign: "not a hub", refused: "refused", "signed-out": "signed out" }[kind] ?? "reconnecting" };
    this.word.dataset.state = this.paused !== null && state === "live" ? "paused" : broken || (degraded && state === "live") ? "waiting" : state;
    const word = this.paused !== null ? `paused${state === "live" ? "" : `, ${words[state]}`}` : words[state];
    document.body.dataset.connection = state;
    if (this.label.data !== word) this.label.data = word;
    text(this.count, (waiting && retryAt ? ` in ${left} s` : "") + (this.paused ? ` · ${plural(this.paused, "event")} held` : ""));
    byId("try-now").hidden = !waiting || kind === "signed-out";
    this.wasLive ||= state === "live";
    if (waiting && !this.wasLive && !this.opened && kind !== "signed-out") this.opened = byId("where").open = true; // there is nothing else to see
    const details = byId("reason");
    const hindered = state === "live" && degraded;
    details.hidden = !hindered && (!reason || state === "live");
    const why = hindered ? "The hub cannot write its history, so it refuses new events; its log says why. Publishers keep them and try again." : `${reason}${/[.!?]$/.test(reason) ? "" : "."}${advice(kind, this.hub)}`;
    text(details, details.hidden ? "" : why);
    this.#facts(config, skew);
  }

  #facts(config, skew) {
    const facts = [];
    this.version ??= config?.version;
    const old = config && this.version !== config.version ? ` (this page is from ${this.version}: reload it)` : "";
    if (config) facts.push(["Version", config.version + old]);
    if (config?.epoch) facts.push(["History", `${config.history}, ${duration(config.retention?.age)}`], ["Epoch", config.epoch]);
    if (this.feed) facts.push(["Tabs", HOW[this.feed.how]]);
    if (Math.abs(skew) > 5) {
      facts.push(["Clock", `this browser's clock is ${duration(Math.abs(skew))} ${skew < 0 ? "ahead of" : "behind"} the hub's`]);
    }
    const key = JSON.stringify(facts);
    if (key === this.drawn) return;
    this.drawn = key;
    byId("hub-facts").replaceChildren(...facts.flatMap(([name, value]) => [el("dt", "", name), el("dd", "", String(value))]));
  }
}

function advice(kind, hub) {
  if (kind === "foreign") return " Check the address, which looks like http://localhost:5000.";
  if (kind !== "unreachable") return "";
  const elsewhere = new URL(hub).origin !== location.origin;
  if (location.protocol === "https:" && hub.startsWith("http:")) return " An https page cannot connect to an http hub.";
  return ` If it is not running, start it with “make run”.${elsewhere ? " If it is, it may not allow pages from this origin (HUB_CORS_ORIGINS), and a hub that requires keys does not let its page show other hubs." : ""}`;
}
