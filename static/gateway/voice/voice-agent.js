// The voice agent: microphone → transcript → streamed reply → speech. It connects the parts and knows no element.

import { Conversation } from "./model/conversation.js";
import { Microphone } from "./transport/microphone.js";
import { Player } from "./transport/player.js";
import { Recording } from "./transport/recording.js";
import { Replies } from "./transport/replies.js";
import { Transcription } from "./transport/transcription.js";
import { connectionWords, microphoneSentence } from "./words/sentences.js";

const LONGEST = 8000; // characters of a message

/**
 * `phase`: idle, starting, recording or finishing. `options`: `handsFree`, `keep` (a recording) and `voice`.
 *
 * `shown`: the page: `turn(turn)`, `draft()`, `phase()`, `level(rms)`, `connection(name, state, detail)`, `problem(sentence)`,
 * `recording(frame)`, `unsent(text)`, `cleared()`.
 */
export class VoiceAgent {
  constructor({ connect, address, session, uuid, shown }) {
    Object.assign(this, { session, uuid, shown });
    this.phase = "idle";
    this.options = { handsFree: false, keep: false, voice: "" };
    this.conversation = new Conversation({ changed: (turn) => shown.turn(turn), drafted: () => shown.draft() });
    const state = (name) => (...values) => shown.connection(name, ...values);
    this.microphone = new Microphone({ pcm: (pcm, level) => this.#hear(pcm, level), lost: () => this.#lost() });
    this.transcription = new Transcription(connect, {
      heard: (frame) => this.#heard(frame),
      resumed: (_, lost) => this.#resumed(lost),
      state: (...values) => {
        shown.connection("transcription", ...values);
        this.#refused(...values);
      },
    });
    this.recording = new Recording(connect, { saved: (frame) => shown.recording(frame), note: (sentence) => shown.problem(sentence), state: state("recording") });
    this.player = new Player((id, speech) => this.#speech(id, speech));
    this.replies = new Replies(connect, {
      address,
      session,
      conversation: this.conversation,
      voice: () => this.options.voice,
      speak: (id, data, type) => this.#speak(id, data, type),
      note: (sentence) => shown.problem(sentence),
      state: state("replies"),
    });
  }

  /** Connect; what a reload has left without a reply is asked again. */
  open() {
    for (const { request_id: id, text } of this.session.pending) if (!this.conversation.turn(id)) this.conversation.ask(id, text);
    this.replies.open();
  }

  /** Release everything. */
  close() {
    this.#release();
    this.replies.close();
    this.player.close();
  }

  // -- speaking ----------------------------------------------------------------------------------------------------------

  async start() {
    if (this.phase !== "idle") return;
    this.shown.problem("");
    const obstacle = Microphone.obstacle();
    if (obstacle) return this.shown.problem(microphoneSentence(obstacle));
    this.player.stop(); // the microphone would hear it
    this.conversation.takeFinal({ all: true });
    this.#enter("starting");
    this.transcription.open();
    let stream;
    try {
      stream = await this.microphone.start();
    } catch (error) {
      this.#release();
      return this.shown.problem(microphoneSentence(error));
    }
    if (!stream) return; // stopped before it was allowed
    this.#enter("recording");
    console.log("🎤 Recording started");
    if (this.options.keep) this.recording.start(stream);
  }

  /** Stop recording, wait for the last words, and send what was said. */
  async stop() {
    if (this.phase === "starting") return this.#release();
    if (this.phase !== "recording") return;
    this.#enter("finishing");
    console.log("🛑 Recording stopped");
    this.recording.stop(); // before the microphone, whose end would be the recorder's
    await this.microphone.stop();
    this.shown.level(0);
    const complete = await this.transcription.finish();
    if (this.phase !== "finishing") return; // released meanwhile
    this.transcription.close();
    this.#enter("idle");
    this.#submit(complete);
  }

  #submit(complete) {
    const interim = this.conversation.utterances.filter(({ final }) => !final).map(({ text }) => text).join(" ").trim();
    const text = this.conversation.takeFinal({ all: true });
    if (!complete) {
      const all = [text, interim].filter(Boolean).join(" ");
      if (all) this.shown.unsent(all);
      return this.shown.problem(all ? "The transcript could not be finished. What was heard is in the text field: correct it and send it." : "The transcript could not be finished: there is no connection to the transcription. Try again, or type.");
    }
    if (text) this.ask(text, true);
    else if (!this.options.handsFree) this.shown.problem("No words were understood. Speak a little louder or closer to the microphone, and check that its level moves.");
    return undefined;
  }

  #hear(pcm, level) {
    this.transcription.send(pcm);
    if (this.phase === "recording") this.shown.level(level);
  }

  #heard(frame) {
    if (frame.type === "error" || frame.type === "reconnecting") {
      console.warn("⚠️ /ws/transcribe-stream:", frame.code ?? frame.type, frame.message);
      return this.shown.problem(frame.message);
    }
    if (frame.type !== "partial" && frame.type !== "final") return console.debug(`🎙️ ${frame.type}`);
    console.debug(`🎙️ ${frame.type === "final" ? "Final" : "Partial"} transcript:`, frame.text);
    this.conversation.hear(frame);
    if (!this.options.handsFree || !frame.text.trim()) return undefined;
    this.player.stop(); // the user speaks: the agent is silent
    if (frame.type === "final" && this.phase === "recording") {
      this.replies.cancel();
      this.ask(this.conversation.takeFinal(), true);
    }
    return undefined;
  }

  // Without transcription there is nothing to record for.
  #refused(state, detail) {
    const { word, sentence } = connectionWords(state, detail);
    if (word !== "refused" || state !== "closed" || this.phase === "idle") return;
    const heard = this.conversation.utterances.map(({ text }) => text.trim()).join(" ");
    this.#release();
    this.shown.problem(sentence);
    if (heard) this.shown.unsent(heard);
  }

  #resumed(lost) {
    this.conversation.forgetInterims();
    if (lost) this.shown.problem(`The connection was down for more than a minute: the first ${Math.ceil(lost / 32_000)} s of what you said are missing.`);
  }

  async #lost() {
    await this.stop();
    this.shown.problem(microphoneSentence("lost"));
  }

  #release() {
    this.microphone.release();
    this.transcription.close();
    this.recording.close();
    this.conversation.takeFinal({ all: true });
    this.shown.level(0);
    this.#enter("idle");
  }

  #enter(phase) {
    this.phase = phase;
    this.shown.phase();
  }

  // -- replies -----------------------------------------------------------------------------------------------------------

  /** Send a message. Returns whether it was accepted. */
  ask(text, spoken = false) {
    const message = text.trim();
    if (!message) return false;
    const refusal = message.length > LONGEST
      ? `The message has ${message.length} characters; at most ${LONGEST} are sent.`
      : this.replies.ask(this.uuid(), message, spoken) ? "" : "Too many messages are waiting for a reply. Send this one when the first has been answered.";
    this.shown.problem(refusal);
    if (refusal) this.shown.unsent(message);
    return !refusal;
  }

  /** Ask again what was not answered. */
  again(turn) {
    this.replies.again(turn, this.uuid());
  }

  /** Stop the reply: its text and its speech. */
  silence() {
    this.player.stop();
    this.replies.cancel();
  }

  #speak(id, data, type) {
    // While the user records, it would be heard by the microphone.
    this.player.add(id, data, type, { play: this.phase === "idle" || (this.options.handsFree && this.phase === "recording") });
  }

  #speech(id, speech) {
    const turn = this.conversation.turn(id);
    if (turn) this.conversation.update(turn, { speech });
    if (speech === "blocked") console.warn("⚠️ The browser does not play sound before the page was clicked");
  }

  /** Begin a new conversation. */
  renew() {
    this.silence();
    this.session.renew();
    this.conversation.clear();
    this.shown.cleared();
    this.reconnect();
  }

  /** Connect again, with another session or another token. */
  reconnect() {
    this.replies.close();
    this.replies.open();
  }
}
