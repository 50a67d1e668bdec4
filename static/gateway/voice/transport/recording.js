// `/ws/audio-stream`: keeps a recording on the gateway, as WebM/Opus in slices of 100 ms.

import { check } from "../model/frames.js";

const TYPE = "audio/webm;codecs=opus";
const SLICE = 100; // ms
const SAVE = 15_000; // ms for the gateway to write the file

export class Recording {
  /** `connect(path, handlers)`: opens a ReconnectingSocket; `saved(frame)`; `note(sentence)`: what else happens to it. */
  constructor(connect, { saved, note, state }) {
    Object.assign(this, { connect, saved, note, state });
    this.socket = this.recorder = null;
    this.run = 0;
  }

  static possible() {
    return Boolean(globalThis.MediaRecorder?.isTypeSupported(TYPE));
  }

  /** Record this stream, which the caller ends. */
  start(stream) {
    this.close();
    const run = ++this.run;
    this.stream = stream;
    const mine = (act) => (...values) => this.run === run && act(...values);
    this.socket = this.connect("/ws/audio-stream", {
      opened: mine(() => this.#begin()),
      frame: mine((frame) => this.#take(frame)),
      state: mine((state, detail) => {
        // The rest of a WebM file cannot be read without its beginning: after a reconnect another one begins.
        if (state !== "open" && this.recorder) this.#abandon();
        this.state(state, detail);
      }),
    });
  }

  #begin() {
    if (this.stopping || !this.stream.active) return;
    const recorder = (this.recorder = new MediaRecorder(this.stream, { mimeType: TYPE }));
    let sent = Promise.resolve();
    this.socket.send("START_RECORDING");
    // Blobs are read one after the other, so that the slices stay in order.
    const slice = async ({ data }) => {
      const bytes = await data.arrayBuffer();
      if (this.recorder === recorder && bytes.byteLength) this.socket.send(bytes);
    };
    recorder.ondataavailable = (event) => (sent = sent.then(() => slice(event)));
    recorder.onstop = () => {
      sent.then(() => {
        if (this.recorder !== recorder) return;
        this.recorder = null;
        this.socket?.send("STOP_RECORDING");
      });
    };
    recorder.start(SLICE);
  }

  #halt() {
    const recorder = this.recorder;
    this.recorder = null;
    if (recorder && recorder.state !== "inactive") recorder.stop();
  }

  #abandon() {
    this.#halt();
    this.note("The connection was lost while recording: the gateway saves what it has received, and a second file is started.");
  }

  /** End the recording, before the microphone is released; resolves when the gateway has saved it. */
  async stop() {
    if (!this.socket) return;
    const { run } = this;
    this.stopping = true;
    const done = new Promise((resolve) => (this.done = resolve));
    if (this.recorder) {
      if (this.recorder.state !== "inactive") this.recorder.stop();
    } else {
      if (this.socket.state !== "open") this.note("The end of the recording was not saved: there is no connection to the gateway.");
      this.done(true);
    }
    const timer = setTimeout(() => this.done(false), SAVE);
    const saved = await done;
    clearTimeout(timer);
    if (this.run !== run) return;
    if (!saved) this.note("The gateway has not confirmed the recording: check its folder of uploads.");
    this.close();
  }

  close() {
    this.run += 1;
    this.done?.(true);
    this.#halt();
    this.socket?.close();
    this.socket = this.stream = this.done = null;
    this.stopping = false;
    this.state("closed", {});
  }

  #take(data) {
    const frame = check(data, "recording");
    if (!frame) return console.warn("⚠️ A frame that is not understood, from /ws/audio-stream");
    if (frame.type === "recording_started") return;
    if (frame.type === "recording_saved") this.saved(frame);
    else this.note(frame.message);
    if (this.stopping) this.done(true);
    else if (frame.type !== "error") this.#halt(); // the gateway has ended it, at one of its limits
  }
}
