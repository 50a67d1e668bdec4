// What the page says where nothing has been said yet: how to make something happen.

import { refusal } from "./agent-words.js";
import { button, byId, copy, el, text, toast } from "./dom.js";
import { play } from "./example.js";
import { publish } from "./post.js";

function sample(lines, id) {
  const code = el("pre", "", lines);
  code.id = id;
  return el("div", "sample", code, button("Copy", () => copy(lines, "It is")));
}

export class Empty {
  /** `all()`: show all rooms; `agents`: the hub's `Agents`; `talk()`: talk to one. */
  constructor(hub, all, agents, talk) {
    this.hub = hub;
    this.all = all;
    this.agents = agents;
    this.talk = talk;
    this.box = byId("empty");
    this.drawn = "";
    this.said = el("p", "said-of-start"); // what came of "Start an agent"
    this.said.setAttribute("role", "alert");
  }

  /**
   * `config`: the hub's, where it is known; `events`: how many there are all the same; `room`: only of this one;
   * `cleared`: they were there once; `failed`: why the history could not be loaded.
   */
  render(shown, { config, events, room, cleared, failed }) {
    this.box.hidden = !shown;
    const key = JSON.stringify([config?.features, events === 0, room, cleared, failed]);
    if (!shown || key === this.drawn) return;
    this.drawn = key;
    if (failed) this.#say("The history could not be loaded", `${failed.replace(/[.]$/, "")}. It is tried again; what comes from now on shows up here.`);
    else if (room) this.#say(`Nothing was said in ${room}`, "", button("Show all rooms", this.all));
    else if (cleared) this.#say("The page was cleared", "What comes from now on shows up here. The hub has its history: reload the page to see it.");
    else this.#teach(config, events === 0);
  }

  #say(title, sentence, action = null) {
    this.box.replaceChildren(el("h2", "", title), el("p", "", sentence), action ?? "");
  }

  #teach(config, quiet) {
    const features = new Set(config?.features ?? []);
    const { hub } = this;
    const example = button("Play an example conversation", () => this.play());
    example.id = "example";
    const ways = features.has("agent") ? [button("Start an agent", () => this.#start()), example] : [example];
    if (features.has("token")) ways.splice(1, 0, button("Talk to one", this.talk));
    ways[0].className = "primary";
    ways[0].id = "start";
    const python = features.has("attach")
      ? ["In your LiveKit agent", "from event_hub.livekit import attach\n\nattach(session)"]
      : ["From Python", `from event_hub.client import Publisher\n\nPublisher("${hub}").publish({"type": "transcript", "role": "agent", "text": "Hello"})`];
    this.box.replaceChildren(
      el("h2", "", quiet ? "Nothing has happened yet" : "Nothing has been said yet"),
      el("p", "", quiet ? "Whatever agents post to this hub shows up here, live. Three ways to begin:" : "The events so far are in the log. What makes a conversation:"),
      el("h3", "", "See what it looks like"),
      el("div", "actions", ...ways),
      this.said,
      el("h3", "", "From a terminal"),
      sample(
        `curl ${hub}/api/agent/data \\\n  -H 'Content-Type: application/json' \\\n  -d '{"type":"transcript","text":"Hello","participant":"caller_1","role":"user","room":"demo"}'`,
        "sample",
      ),
      el("h3", "", python[0]),
      sample(python[1], "python-sample"),
    );
  }

  /** Play the example conversation, unless it is playing. */
  async play() {
    if (this.playing) return;
    this.playing = true;
    await play((body) => publish(this.hub, body)).catch((error) => toast(error.message));
    this.playing = false;
  }

  async #start() {
    if (this.starting) return;
    this.starting = true;
    text(this.said, "");
    this.said.className = "said-of-start";
    try {
      const { status = "starting", mode } = await this.agents.start();
      const sentence = `The agent is ${status}${mode === "scripted" ? ": a scripted one, which needs no key" : ""}`;
      text(this.said, `${sentence}. How it is doing is under Agents.`);
      toast(sentence);
    } catch (error) {
      this.said.className = "said-of-start bad";
      text(this.said, refusal(error));
    }
    this.starting = false;
  }
}
