// The controls: recording, the level, the status, typing, and the options.

import { byId, text } from "../../../views/dom.js";
import { statusSentence } from "../words/sentences.js";

const FLOOR = 60; // dB below full scale at which the meter reads 0
const OPTIONS = "voice-options";
const OTHER = "other";

export class Controls {
  /** `agent`: the VoiceAgent, whose options are set here. */
  constructor(agent) {
    this.agent = agent;
    this.record = byId("record");
    this.input = byId("message");
    this.bar = byId("level");
    this.record.onclick = () => {
      document.querySelector("main").scrollTo(0, 0); // on a phone the options may be in view instead
      return agent.phase === "idle" ? agent.start() : agent.stop();
    };
    byId("silence").onclick = () => agent.silence();
    byId("renew").onclick = () => agent.renew();
    byId("typing").onsubmit = (event) => {
      event.preventDefault();
      const { value } = this.input;
      this.input.value = "";
      agent.ask(value);
      this.input.focus();
    };
    addEventListener("keydown", (event) => event.key === "Escape" && !event.defaultPrevented && this.busy && agent.silence());
    this.#options();
  }

  #options() {
    const { options } = this.agent;
    const [handsFree, keep, voice, other] = ["hands-free", "keep", "voice", "other-voice"].map(byId);
    try {
      Object.assign(options, JSON.parse(localStorage.getItem(OPTIONS)));
    } catch {
      // storage is forbidden, or holds something else
    }
    handsFree.checked = options.handsFree === true;
    keep.checked = options.keep === true && !keep.disabled;
    const known = [...voice.options].some(({ value }) => value === options.voice && value !== OTHER);
    voice.value = known ? options.voice : OTHER;
    other.value = known ? "" : String(options.voice);
    const read = () => {
      other.parentElement.hidden = voice.value !== OTHER;
      options.handsFree = handsFree.checked;
      options.keep = keep.checked;
      options.voice = voice.value === OTHER ? other.value.trim() : voice.value;
      try {
        localStorage.setItem(OPTIONS, JSON.stringify(options));
      } catch {
        // not remembered
      }
      this.render();
    };
    for (const element of [handsFree, keep, voice, other]) element.addEventListener("change", read);
    read();
  }

  /** Whether there is a reply to stop. */
  get busy() {
    const { conversation, player } = this.agent;
    return conversation.pending.length > 0 || player.playing;
  }

  render() {
    const { agent } = this;
    const { conversation, phase, player, options } = agent;
    const recording = phase === "recording" || phase === "starting";
    text(this.record, recording ? "Stop Recording" : "Start Recording");
    this.record.dataset.phase = phase;
    this.record.ariaDisabled = phase === "finishing" ? "true" : "false";
    byId("silence").hidden = !this.busy;
    byId("keep").disabled = phase !== "idle" || this.cannotKeep;
    byId("renew").hidden = !conversation.turns.length;
    const status = { phase, handsFree: options.handsFree, draft: conversation.utterances.length > 0, turn: conversation.turns.at(-1), speaking: player.playing };
    text(byId("status"), statusSentence(status));
  }

  /** `rms`: 0 to 1. */
  level(rms) {
    const level = rms > 0 ? Math.max(0, Math.min(1, 1 + (20 * Math.log10(rms)) / FLOOR)) : 0;
    this.bar.style.transform = `scaleX(${level.toFixed(3)})`;
  }

  /** A sentence about what went wrong, or "". */
  problem(sentence) {
    text(byId("problem"), sentence);
    byId("problem").hidden = !sentence;
  }

  /** Put words that were not sent where they can be changed and sent. */
  unsent(words) {
    if (!this.input.value) this.input.value = words;
  }
}
