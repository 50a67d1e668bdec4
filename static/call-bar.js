// A call, as it is seen: who is there, the microphone, what is typed, and the way out.

import { company, lonely } from "./call-words.js";
import { button, byId, el, text } from "./dom.js";

const meter = (name) => {
  const bar = el("i");
  const made = el("span", `level ${name}`, bar);
  made.ariaHidden = "true";
  return { made, set: (level) => (bar.style.transform = `scaleX(${level.toFixed(2)})`), element: made };
};

export class CallBar {
  /** `summon(room)`: have an agent come to that room, or throw an error with a sentence. `again()`: a new call. */
  constructor({ summon, again }) {
    this.summon = summon;
    this.box = byId("call");
    this.call = null;
    this.room = el("b", "room");
    this.phase = el("span", "phase");
    this.phase.setAttribute("role", "status");
    this.people = el("span", "people");
    this.there = el("span", "unseen"); // for screen readers: who comes and goes, not that an agent thinks, then speaks
    this.there.setAttribute("role", "status");
    this.heard = meter("heard");
    this.spoken = meter("spoken");
    this.mute = button("Mute", () => this.call.mute(!this.call.muted));
    this.devices = el("select");
    this.devices.ariaLabel = "Microphone";
    this.devices.onchange = () => this.call.choose(this.devices.value);
    this.hear = button("Hear the agent", () => this.call.hear());
    this.hear.className = "primary";
    this.leave = button("Leave", () => this.call?.leave());
    this.trouble = el("p", "bad");
    this.trouble.setAttribute("role", "alert");
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
    const about = el("div", "line", this.room, this.phase, this.people, this.there, this.heard.element, el("span", "grow"), this.hear, this.leave, this.again, this.shut);
    this.tools = el("div", "line", this.mute, this.spoken.element, this.devices, this.form);
    this.box.append(about, this.trouble, this.bring, this.tools);
    this.sentence = ""; // why the call is over, or why something has failed
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

  /** The call is over. `sentence`: why, or "" where there is nothing to say. */
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
    text(this.people, on ? company(people) : "");
    text(this.there, on ? company(people.map(({ name, agent }) => ({ name, agent }))) : "");
    text(this.mute, call.muted ? "Unmute" : "Mute");
    this.mute.setAttribute("aria-pressed", String(call.muted));
    this.hear.hidden = !on || !call.silenced;
    for (const one of [this.heard.element, this.leave, this.tools]) one.hidden = !on;
    this.again.hidden = this.shut.hidden = on;
    this.#choices(on ? call : { devices: [], device: "" });
    const alone = call.phase === "connected" && call.lonely;
    this.bring.hidden = !alone;
    text(this.trouble, [this.sentence, on ? call.trouble : "", alone && !this.sentence ? lonely(call) : ""].filter(Boolean).join(" "));
    this.trouble.hidden = !this.trouble.textContent;
  }

  #choices({ devices, device }) {
    this.devices.hidden = devices.length < 2;
    const key = JSON.stringify(devices.map((one) => [one.deviceId, one.label]));
    if (this.listed !== key) {
      this.listed = key;
      this.devices.replaceChildren(...devices.map((one, n) => Object.assign(el("option", "", one.label || `Microphone ${n + 1}`), { value: one.deviceId })));
    }
    if (device && this.devices.value !== device) this.devices.value = device;
  }

  async #say() {
    const { call } = this;
    const words = this.words.value.trim();
    if (!words) return;
    if (call.phase !== "connected") return this.#tell(call, "It is not sent: send it again when the call is connected.");
    this.words.value = "";
    try {
      await call.say(words);
      this.#tell(call, "");
    } catch (error) {
      this.words.value ||= words;
      this.#tell(call, `It could not be sent: ${error.message}.`);
    }
  }

  async #summon() {
    if (this.bring.ariaDisabled === "true") return;
    this.bring.ariaDisabled = "true";
    const { call } = this;
    this.#tell(call, "An agent is being started for this room.");
    try {
      await this.summon(call.name);
      this.#tell(call, "");
    } catch (error) {
      this.#tell(call, error.message);
    }
    this.bring.ariaDisabled = "false";
  }

  // What comes of something is said, unless there is something else to say by then: the call is over, or another one.
  #tell(call, sentence) {
    if (this.call !== call || call.phase === "over") return;
    this.sentence = sentence;
    this.render();
  }
}
