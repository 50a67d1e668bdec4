// What the page says where nothing has been said yet: how to make something happen.

import { button, byId, copy, el, toast } from "./dom.js";
import { play } from "./example.js";
import { publish } from "./post.js";
import { ask } from "./source.js";

function sample(lines, id) {
  const code = el("pre", "", lines);
  code.id = id;
  return el("div", "sample", code, button("Copy", () => copy(lines, "It is")));
}

export class Empty {
  constructor(hub) {
    this.hub = hub;
    this.box = byId("empty");
    this.drawn = "";
  }

  /** `config`: the hub's, where it is known; `quiet`: no event at all has come yet. */
  render(shown, config, quiet) {
    this.box.hidden = !shown;
    const key = JSON.stringify([config?.features, quiet, config !== undefined]);
    if (!shown || key === this.drawn) return;
    this.drawn = key;
    const features = new Set(config?.features ?? []);
    const { hub } = this;
    const start = features.has("agent")
      ? button("Start an agent", () => this.#start())
      : button("Play an example conversation", () => this.#play());
    start.className = "primary";
    start.id = "start";
    const python = features.has("attach")
      ? ["In your LiveKit agent", "from event_hub.livekit import attach\n\nattach(session)"]
      : ["From Python", `from event_hub.client import Publisher\n\nPublisher("${hub}").publish({"type": "transcript", "role": "agent", "text": "Hello"})`];
    this.box.replaceChildren(
      el("h2", "", quiet ? "Nothing has happened yet" : "Nothing has been said yet"),
      el("p", "", quiet ? "Whatever agents post to this hub shows up here, live. Three ways to begin:" : "The events so far are in the log. What makes a conversation:"),
      el("h3", "", "See what it looks like"),
      start,
      el("h3", "", "From a terminal"),
      sample(
        `curl ${hub}/api/agent/data \\\n  -H 'Content-Type: application/json' \\\n  -d '{"type":"transcript","text":"Hello","participant":"caller_1","role":"user","room":"demo"}'`,
        "sample",
      ),
      el("h3", "", python[0]),
      sample(python[1], "python-sample"),
    );
  }

  async #play() {
    try {
      await play((body) => publish(this.hub, body));
    } catch (error) {
      toast(error.message);
    }
  }

  async #start() {
    try {
      const answer = await ask(`${this.hub}/api/agent/start`, { method: "POST" });
      toast(`The agent is ${answer.status ?? "starting"}`);
    } catch (error) {
      toast(error.message);
    }
  }
}
