// The Talk dialog: it joins a room with an agent, or says what is missing for that.

import { live, refusal, refusalToTalk, startingFor, willJoin } from "../words/agents.js";
import { CallBar } from "./call-bar.js";
import { cannotTalk } from "../words/calls.js";
import { Call, load } from "../transport/call.js";
import { button, byId, copy, el, text } from "./dom.js";

const hex = () => [...crypto.getRandomValues(new Uint8Array(2))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class Talk {
  /** `agents`: the hub's `Agents`; `room()`: the room that the page shows, or ""; `show(room)`: show a room. */
  constructor(api, agents, { room, show }) {
    this.api = api;
    this.agents = agents;
    this.suggested = room;
    this.show = show;
    this.call = null;
    this.button = byId("talk");
    this.dialog = byId("talk-dialog");
    this.button.onclick = () => this.open();
    this.bar = new CallBar({ summon: (name) => this.#summon({ mode: "room", room: name }), again: () => this.open() });
    this.dialog.addEventListener("close", () => this.#cancel());
    agents.watch(() => this.dialog.open && this.form && this.#offer());
  }

  /** Open the dialog; during a call, focus its bar. */
  async open() {
    if (this.call) return this.bar.mute.focus();
    const run = (this.run = {});
    const gone = () => this.run !== run || !this.dialog.open; // closed, or closed and opened again, during the request
    const title = el("h2", "", "Talk to an agent");
    title.id = "talk-title";
    this.form = null;
    this.dialog.replaceChildren(title, el("p", "", "Connecting to the hub …"), this.#actions());
    this.dialog.showModal();
    let config;
    try {
      config = await this.api.get("/api/config");
    } catch (error) {
      return gone() || this.#explain({ title: "Talk to an agent", sentences: [refusal(error)] });
    }
    if (gone()) return;
    const obstacle = cannotTalk(config);
    if (obstacle) return this.#explain(obstacle);
    if (config.features.includes("agent")) await this.agents.refresh();
    if (!gone()) this.#ask(title, config);
  }

  #actions(...more) {
    return el("div", "actions", button("Close", () => this.dialog.close()), ...more);
  }

  #explain({ title, sentences, command, guide }) {
    const head = el("h2", "", title);
    head.id = "talk-title";
    const link = guide ? el("p", "", Object.assign(el("a", "", guide.title), { href: `${this.api.hub}/docs/guide/${guide.page}`, target: "_blank" })) : "";
    const sample = command ? el("div", "sample", el("pre", "", command), button("Copy", () => copy(command, "Command"))) : null;
    this.dialog.replaceChildren(head, ...sentences.map((sentence) => el("p", "", sentence)), sample ?? "", link, this.#actions());
  }

  #ask(title, config) {
    const field = (name, value, more) => {
      const input = Object.assign(el("input"), { type: "text", value, required: true, maxLength: 256, autocomplete: "off", id: `talk-${name}`, ...more });
      return input;
    };
    const label = (input, name) => Object.assign(el("label", "", name), { htmlFor: input.id });
    this.room = field("room", this.suggested() || `talk-${hex()}`);
    this.room.setAttribute("list", "rooms");
    this.name = field("name", remembered("talk-name") || "you");
    this.agent = Object.assign(el("input"), { type: "checkbox", checked: remembered("talk-agent") !== "no", id: "talk-agent" });
    this.offer = el("label", "offer", this.agent, el("span"));
    this.answer = el("output");
    this.answer.setAttribute("role", "status");
    const go = Object.assign(el("button", "primary", "Talk"), { id: "talk-go" });
    const fields = el("div", "fields", label(this.room, "Room"), this.room, label(this.name, "Your name"), this.name);
    const insecure = isSecureContext ? "" : el("p", "", "Browsers allow the microphone only on https pages and on localhost. Here you can listen and type.");
    this.starts = config.features.includes("agent");
    this.form = el("form", "", fields, this.offer, insecure, this.answer, this.#actions(go));
    this.form.onsubmit = (event) => {
      event.preventDefault();
      this.#go(go);
    };
    this.room.oninput = () => this.#offer();
    this.dialog.replaceChildren(title, this.form);
    this.#offer();
    this.room.focus();
    this.room.select();
  }

  // If no agent would join, one can be started first.
  #offer() {
    const { list } = this.agents;
    const room = this.room.value.trim();
    const agent = startingFor(list, room);
    this.offer.hidden = !this.starts || willJoin(list, room);
    text(this.offer.lastElementChild, agent ? `Wait for the agent that is ${agent.status}` : "Start an agent for this room: none is running that would join it");
  }

  #cancel() {
    this.trying?.abort(new Error("cancelled"));
    this.trying = null;
  }

  #say(sentence, { bad = false, signal } = {}) {
    if (signal?.aborted) return; // the dialog was closed
    this.answer.className = bad ? "bad" : "";
    text(this.answer, sentence);
  }

  async #go(go) {
    if (this.trying) return;
    const [room, name] = [this.room.value.trim(), this.name.value.trim()];
    if (!room || !name) return this.#say("Enter a room and your name.", { bad: true });
    remember("talk-name", name);
    if (!this.offer.hidden) remember("talk-agent", this.agent.checked ? "" : "no");
    const trying = (this.trying = new AbortController());
    go.ariaDisabled = "true";
    try {
      if (!this.offer.hidden && this.agent.checked) await this.#summon({ mode: "worker" }, room, trying.signal);
      await this.#join(room, name, trying.signal);
      this.trying = null;
      this.dialog.close();
    } catch (error) {
      this.#say(refusal(error), { bad: true, signal: trying.signal });
    }
    if (this.trying === trying) this.trying = null;
    go.ariaDisabled = "false";
  }

  /** Start an agent, or wait for the one that is starting. Resolves when it is ready. */
  async #summon(wanted, room = wanted.room, signal = undefined) {
    let id = startingFor(this.agents.list, room)?.agent_id;
    if (!id) {
      try {
        id = (await this.agents.start(wanted)).agent_id;
      } catch (error) {
        // It may have been started meanwhile, elsewhere. One that is stopping is not worth waiting for.
        const running = error.problem?.agent;
        if (!running || running.status === "stopping") throw new Error(refusalToTalk(error));
        id = running.agent_id;
        await this.agents.refresh();
      }
      signal?.throwIfAborted();
    }
    await this.agents.until((list) => {
      const agent = list.find(({ agent_id }) => agent_id === id);
      if (!agent && this.agents.error) return false;
      if (!agent || !live(agent)) throw new Error(`The agent ${id} is ${agent?.status ?? "gone"}: ${agent?.error ?? "its log may say why."}`);
      // What our own agent says of its start, such as that it installs local speech.
      const said = agent.log?.findLast((line) => line.startsWith("agent: "))?.slice("agent: ".length);
      const sentence = agent.status === "restarting" ? agent.error : (agent.hint ?? said);
      if (signal && agent.status !== "ready") this.#say(`The agent is ${agent.status}, which takes five to ten seconds. ${sentence ?? ""}`);
      return agent.status === "ready";
    }, signal);
  }

  async #join(room, name, signal) {
    this.#say("Requesting a token …", { signal });
    const [livekit, token] = await Promise.all([
      load(),
      this.api.post("/api/token", { room_name: room, participant_name: name }),
    ]);
    signal.throwIfAborted();
    this.#say(`Connecting to ${token.server_url} …`);
    const call = new Call(livekit, room, { changed: () => this.bar.call === call && this.bar.render(), ended: (sentence) => this.#ended(sentence) });
    signal.addEventListener("abort", () => call.leave());
    await call.join(token);
    if (signal.aborted) {
      call.leave();
      signal.throwIfAborted();
    }
    this.call = call;
    this.button.setAttribute("aria-pressed", "true");
    this.bar.open(call);
    this.show(room);
    call.mute(false);
  }

  #ended(sentence) {
    this.call = null;
    this.button.removeAttribute("aria-pressed");
    this.bar.over(sentence);
  }
}

// Browsers may forbid storage.
function remembered(name) {
  try {
    return localStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // not remembered
  }
}
