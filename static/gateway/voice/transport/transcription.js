// `/ws/transcribe-stream`: audio goes there, transcripts come back. A lost connection loses no speech.

import { check } from "../model/frames.js";
import { UnfinishedSpeech } from "../model/unfinished-speech.js";

const FINISH = 15_000; // ms for the last finals, a reconnect included

export class Transcription {
  /** `connect(path, handlers)`: opens a ReconnectingSocket; `heard(frame)`: every frame but `ready` and `end`; `resumed()`: the
   * connection was lost and is back. */
  constructor(connect, { heard, resumed, state }) {
    Object.assign(this, { connect, heard, resumed, state });
    this.socket = null;
    this.run = 0;
  }

  open() {
    this.close();
    const run = ++this.run;
    this.speech = new UnfinishedSpeech();
    this.connections = 0;
    this.ready = this.ending = false;
    this.ended = new Promise((resolve) => (this.resolve = resolve));
    const mine = (act) => (...values) => this.run === run && act(...values);
    this.socket = this.connect("/ws/transcribe-stream", {
      frame: mine((frame) => this.#take(frame)),
      state: mine((state, detail) => {
        if (state !== "open") this.ready = false;
        this.state(state, detail);
      }),
    });
  }

  /** PCM of the microphone. */
  send(pcm) {
    if (!this.socket) return;
    this.speech.push(pcm, this.ready);
    if (this.ready) this.socket.send(pcm);
  }

  /** No more audio comes: wait for the last finals. Returns whether they have come. */
  async finish() {
    if (!this.socket) return false;
    this.ending = true;
    if (this.ready) this.socket.send({ type: "end" });
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, FINISH, false)));
    const done = await Promise.race([this.ended, late]);
    clearTimeout(timer);
    return done;
  }

  close() {
    this.run += 1;
    this.resolve?.(false);
    this.socket?.close();
    this.socket = null;
    this.state("closed", {});
  }

  #take(data) {
    const frame = check(data, "transcription");
    if (!frame) return console.warn("⚠️ A frame that is not understood, from /ws/transcribe-stream");
    if (frame.type === "ready") return this.#begin();
    if (frame.type === "end") return this.resolve(true);
    if (frame.type === "speech_started") this.speech.started();
    if (frame.type === "speech_ended") this.speech.ended();
    if (frame.type === "final") this.speech.final();
    // Every connection counts its utterances from the first.
    this.heard("utterance" in frame ? { ...frame, utterance: `${this.run}.${this.connections}.${frame.utterance}` } : frame);
  }

  #begin() {
    this.connections += 1;
    this.ready = true;
    if (this.connections > 1) this.resumed(this.speech.bytes, this.speech.lost);
    for (const frame of this.speech.frames()) this.socket.send(frame);
    if (this.ending) this.socket.send({ type: "end" });
  }
}
