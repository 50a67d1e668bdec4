// What the page shows when there is no conversation: how to get one.

import { refusal } from "../words/agents.js";
import { button, byId, copy, el, text, toast } from "./dom.js";
import { play } from "../transport/example.js";

function sample(lines, id) {
  const code = el("pre", "", lines);
  code.id = id;
  return el("div", "sample", code, button("Copy", () => copy(lines, "Sample")));
}

export class Empty {
  /** `agents`: the hub's `Agents`; `showAll()`: show all rooms; `talk()`: open the Talk dialog. */
  constructor(api, agents, { showAll, talk }) {
    this.api = api;
    this.agents = agents;
    this.showAll = showAll;
    this.talk = talk;
    this.box = byId("empty");
    this.drawn = "";
    this.result = el("p", "start-result"); // of "Start an agent"
    this.result.setAttribute("role", "alert");
  }

  /**
   * `config`: the hub's, if known; `events`: how many events there are; `room`: the name of what is selected, if anything;
   * `cleared`: whether the page was cleared; `failed`: why the history could not be loaded.
   */
  render(shown, { config, events, room, cleared, failed }) {
    this.box.hidden = !shown;
    const key = JSON.stringify([config?.features, config?.access, events === 0, room, cleared, failed]);
    if (!shown || key === this.drawn) return;
    this.drawn = key;
    const shared = config?.access?.kind === "share";
    if (failed) this.#say("The history could not be loaded", `${failed.replace(/[.]$/, "")}. The page keeps trying. New events appear here.`);
    else if (room) this.#say(`No conversation in ${room}`, shared ? "New events appear here." : "", shared ? null : button("Show all rooms", this.showAll));
    else if (cleared) this.#say("The page was cleared", "New events appear here. The hub still has the history: reload the page to see it.");
    else if (shared) this.#say("No conversation yet", "New events appear here.");
    else this.#teach(config, events === 0);
  }

  #say(title, sentence, action = null) {
    this.box.replaceChildren(el("h2", "", title), el("p", "", sentence), action ?? "");
  }

  #teach(config, quiet) {
    const features = new Set(config?.features ?? []);
    const { hub } = this.api;
    const example = button("Play an example conversation", () => this.play());
    example.id = "example";
    const { control = true, publish = null } = config?.access ?? {};
    if (!control) for (const feature of ["agent", "token"]) features.delete(feature);
    const ways = publish === null || publish.length ? [example] : [];
    if (features.has("agent")) ways.unshift(button("Start an agent", () => this.#start()));
    if (features.has("token")) ways.splice(1, 0, button("Talk to an agent", this.talk));
    if (features.has("agent")) ways.push(button("Start the gateway", () => this.#start({ mode: "gateway" }), "Chat and voice over WebSockets, without a room; needs no key"));
    if (ways.length) Object.assign(ways[0], { className: "primary", id: "start" });
    const python = features.has("attach")
      ? ["In your LiveKit agent", "from event_hub.livekit import attach\n\nattach(session)"]
      : ["From Python", `from event_hub.client import Publisher\n\nPublisher("${hub}").publish({"type": "transcript", "role": "agent", "text": "Hello"})`];
    this.box.replaceChildren(
      el("h2", "", quiet ? "No events yet" : "No conversation yet"),
      el("p", "", quiet ? `Everything that agents publish to this hub appears here, live.${ways.length ? " Three ways to begin:" : ""}` : "The events so far are in the log. To see a conversation:"),
      ...(ways.length ? [el("h3", "", "Try it"), el("div", "actions", ...ways), this.result] : []),
      el("h3", "", "From a terminal"),
      sample(
        `curl ${hub}/api/agent/data \\\n${this.api.guarded ? '  -H "Authorization: Bearer $HUB_KEY" \\\n' : ""}  -H 'Content-Type: application/json' \\\n  -d '{"type":"transcript","text":"Hello","participant":"caller_1","role":"user","room":"demo"}'`,
        "sample",
      ),
      el("h3", "", python[0]),
      sample(python[1], "python-sample"),
      el("p", "", Object.assign(el("a", "", "More in the documentation"), { href: `${hub}/docs/guide/` })),
    );
  }

  /** Play the example conversation, unless it is already playing. */
  async play() {
    if (this.playing) return;
    this.playing = true;
    await play((body) => this.api.publish(body)).catch((error) => toast(error.message));
    this.playing = false;
  }

  async #start(wanted) {
    if (this.starting) return;
    this.starting = true;
    text(this.result, "");
    this.result.className = "start-result";
    try {
      const { status = "starting", mode } = await this.agents.start(wanted);
      const sentence = `The ${mode === "gateway" ? "gateway" : "agent"} is ${status}${mode === "scripted" ? " in scripted mode, which needs no key" : ""}`;
      text(this.result, `${sentence}. Agents, at the top, shows its state.`);
      toast(sentence);
    } catch (error) {
      this.result.className = "start-result bad";
      text(this.result, refusal(error));
    }
    this.starting = false;
  }
}
