// "Talk": a dialog that gets somebody into a room with an agent, or says what that needs.

import { coming, comes, live, refusal, refusalToTalk } from "./agent-words.js";
import { CallBar } from "./call-bar.js";
import { unable } from "./call-words.js";
import { Call, load } from "./call.js";
import { button, byId, copy, el, text } from "./dom.js";
import { ask } from "./source.js";

const hex = () => [...crypto.getRandomValues(new Uint8Array(2))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class Talk {
  /** `agents`: the hub's `Agents`. `room()`: the one that the page shows, or ""; `show(room)`: show this one. */
  constructor(hub, agents, { room, show }) {
    this.hub = hub;
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

  /** Open the dialog; during a call, go to its bar. */
  async open() {
    if (this.call) return this.bar.mute.focus();
    const run = (this.run = {});
    const gone = () => this.run !== run || !this.dialog.open; // closed, and perhaps opened anew, while the hub was asked
    const title = el("h2", "", "Talk to an agent");
    title.id = "talk-title";
    this.form = null;
    this.dialog.replaceChildren(title, el("p", "", "Asking the hub …"), this.#actions());
    this.dialog.showModal();
    let config;
    try {
      config = await ask(`${this.hub}/api/config`);
    } catch (error) {
      return gone() || this.#explain({ title: "Talk to an agent", sentences: [refusal(error)] });
    }
    if (gone()) return;
    const why = unable(config);
    if (why) return this.#explain(why);
    if (config.features.includes("agent")) await this.agents.refresh();
    if (!gone()) this.#ask(title, config);
  }

  #actions(...more) {
    return el("div", "actions", button("Close", () => this.dialog.close()), ...more);
  }

  #explain({ title, sentences, command }) {
    const head = el("h2", "", title);
    head.id = "talk-title";
    const sample = command ? el("div", "sample", el("pre", "", command), button("Copy", () => copy(command, "The command is"))) : null;
    this.dialog.replaceChildren(head, ...sentences.map((one) => el("p", "", one)), sample ?? "", this.#actions());
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
    const insecure = isSecureContext ? "" : el("p", "", "This page is at an http address that is not this machine's, where browsers give no microphone: you can listen and type. Open it as http://localhost:…, or with https.");
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

  // Where no agent would come, one can be started first.
  #offer() {
    const { list } = this.agents;
    const room = this.room.value.trim();
    const one = coming(list, room);
    this.offer.hidden = !this.starts || comes(list, room);
    text(this.offer.lastElementChild, one ? `Wait for the agent that is ${one.status}` : "Start an agent for this room: none that would come is running");
  }

  #cancel() {
    this.trying?.abort(new Error("cancelled"));
    this.trying = null;
  }

  #say(sentence, { bad = false, signal } = {}) {
    if (signal?.aborted) return; // this dialog is another one
    this.answer.className = bad ? "bad" : "";
    text(this.answer, sentence);
  }

  async #go(go) {
    if (this.trying) return;
    const [room, name] = [this.room.value.trim(), this.name.value.trim()];
    if (!room || !name) return this.#say("Name a room, and yourself.", { bad: true });
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

  /** Have an agent started, or wait for the one that is starting; returns when it is ready. */
  async #summon(wanted, room = wanted.room, signal = undefined) {
    let id = coming(this.agents.list, room)?.agent_id;
    if (!id) {
      try {
        id = (await this.agents.start(wanted)).agent_id;
      } catch (error) {
        // Somebody else has just started it; one that is stopping is none to wait for.
        const running = error.problem?.agent;
        if (!running || running.status === "stopping") throw new Error(refusalToTalk(error));
        id = running.agent_id;
        await this.agents.refresh();
      }
      signal?.throwIfAborted();
    }
    await this.agents.until((list) => {
      const one = list.find(({ agent_id }) => agent_id === id);
      if (!one && this.agents.error) return false;
      if (!one || !live(one)) throw new Error(`The agent ${id} is ${one?.status ?? "gone"}: ${one?.error ?? "its log may say why."}`);
      const sentence = one.status === "restarting" ? one.error : one.hint;
      if (signal && one.status !== "ready") this.#say(`The agent is ${one.status}, which takes five to ten seconds. ${sentence ?? ""}`);
      return one.status === "ready";
    }, signal);
  }

  async #join(room, name, signal) {
    this.#say("Getting a token …", { signal });
    const [livekit, token] = await Promise.all([
      load(),
      ask(`${this.hub}/api/token`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ room_name: room, participant_name: name }),
      }),
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

// A browser may forbid a page to keep anything.
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
    // then it is asked for again
  }
}
