// The bar of a call: who is there, the microphone, a field for text to the agent, and Leave.

import { companyText, noAgentText } from "../words/calls.js";
import { button, byId, el, text } from "./dom.js";

const meter = (name) => {
  const bar = el("i");
  const element = el("span", `level ${name}`, bar);
  element.ariaHidden = "true";
  return { element, set: (level) => (bar.style.transform = `scaleX(${level.toFixed(2)})`) };
};

export class CallBar {
  /** `summon(room)`: start an agent for a room, throws an error that says why not; `again()`: open the Talk dialog. */
  constructor({ summon, again }) {
    this.summon = summon;
    this.box = byId("call");
    this.call = null;
    this.room = el("b", "room");
    this.phase = el("span", "phase");
    this.phase.setAttribute("role", "status");
    this.people = el("span", "people");
    this.roster = el("span", "unseen"); // for screen readers: who comes and goes, without the states of agents
    this.roster.setAttribute("role", "status");
    this.heard = meter("heard");
    this.spoken = meter("spoken");
    this.mute = button("Mute", () => this.call.mute(!this.call.muted));
    this.devices = el("select");
    this.devices.ariaLabel = "Microphone";
    this.devices.onchange = () => this.call.choose(this.devices.value);
    this.hear = button("Hear the agent", () => this.call.hear());
    this.hear.className = "primary";
    this.leave = button("Leave", () => this.call?.leave());
    this.problem = el("p", "bad");
    this.problem.setAttribute("role", "alert");
    this.bring = button("Start an agent for this room", () => this.#summon());
    this.words = el("input");
    Object.assign(this.words, { type: "text", placeholder: "Type to the agent", ariaLabel: "Type to the agent", autocomplete: "off" });
    this.form = el("form", "", this.words, el("button", "", "Send"));
    this.form.onsubmit = (event) => {
      event.preventDefault();
      this.#say();
    };
    this.shut = button("Close", () => this.close());
    this.again = button("Talk again", () => {
      this.close();
      again();
    });
    const about = el("div", "line", this.room, this.phase, this.people, this.roster, this.heard.element, el("span", "grow"), this.hear, this.leave, this.again, this.shut);
    this.tools = el("div", "line", this.mute, this.spoken.element, this.devices, this.form);
    this.box.append(about, this.problem, this.bring, this.tools);
    this.sentence = ""; // why the call has ended, or what failed
  }

  open(call) {
    this.call = call;
    this.sentence = "";
    call.loud = () => {
      this.heard.set(call.heard);
      this.spoken.set(call.spoken);
    };
    this.box.hidden = false;
    this.render();
    this.mute.focus();
  }

  /** The call has ended. `sentence`: why; "" if the caller left. */
  over(sentence) {
    const within = this.box.contains(document.activeElement);
    if (!sentence) this.close();
    else {
      this.sentence = sentence;
      this.render();
      if (within) this.again.focus();
    }
    if (within && !sentence) byId("talk").focus();
  }

  close() {
    this.box.hidden = true;
    this.call = null;
  }

  render() {
    const { call } = this;
    if (!call) return;
    const on = call.phase !== "over";
    this.box.dataset.phase = call.phase;
    text(this.room, call.name);
    text(this.phase, call.phase);
    const people = on ? call.people : [];
    text(this.people, on ? companyText(people) : "");
    text(this.roster, on ? companyText(people.map(({ name, agent }) => ({ name, agent }))) : "");
    text(this.mute, call.muted ? "Unmute" : "Mute");
    this.mute.setAttribute("aria-pressed", String(call.muted));
    this.hear.hidden = !on || !call.silenced;
    for (const element of [this.heard.element, this.leave, this.tools]) element.hidden = !on;
    this.again.hidden = this.shut.hidden = on;
    this.#choices(on ? call : { devices: [], device: "" });
    const alone = call.phase === "connected" && call.alone;
    this.bring.hidden = !alone;
    text(this.problem, [this.sentence, on ? call.problem : "", alone && !this.sentence ? noAgentText(call) : ""].filter(Boolean).join(" "));
    this.problem.hidden = !this.problem.textContent;
  }

  #choices({ devices, device }) {
    this.devices.hidden = devices.length < 2;
    const key = JSON.stringify(devices.map(({ deviceId, label }) => [deviceId, label]));
    if (this.listed !== key) {
      this.listed = key;
      this.devices.replaceChildren(...devices.map(({ deviceId, label }, n) => Object.assign(el("option", "", label || `Microphone ${n + 1}`), { value: deviceId })));
    }
    if (device && this.devices.value !== device) this.devices.value = device;
  }

  async #say() {
    const { call } = this;
    const words = this.words.value.trim();
    if (!words) return;
    if (call.phase !== "connected") return this.#tell(call, "Not sent: try again when the call is connected.");
    this.words.value = "";
    try {
      await call.say(words);
      this.#tell(call, "");
    } catch (error) {
      this.words.value ||= words;
      this.#tell(call, `Not sent: ${error.message}.`);
    }
  }

  async #summon() {
    if (this.bring.ariaDisabled === "true") return;
    this.bring.ariaDisabled = "true";
    const { call } = this;
    this.#tell(call, "Starting an agent for this room …");
    try {
      await this.summon(call.name);
      this.#tell(call, "");
    } catch (error) {
      this.#tell(call, error.message);
    }
    this.bring.ariaDisabled = "false";
  }

  // A result is shown only if the call that it belongs to is still on.
  #tell(call, sentence) {
    if (this.call !== call || call.phase === "over") return;
    this.sentence = sentence;
    this.render();
  }
}
