// The AudioWorklet: what the microphone hears, as 16 kHz 16-bit mono PCM. It posts `{ pcm, level }` for every 50 ms, and
// `{ finished: true }` after it was sent `"finish"`.

import { Resampler, mono, pcm16 } from "./model/resampler.js";

const RATE = 16000; // Hz
const CHUNK = 800; // samples: 50 ms, the least that AssemblyAI takes in a message

class PcmWorklet extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE);
    this.chunk = new Float32Array(CHUNK);
    this.filled = 0;
    this.active = true;
    this.port.onmessage = ({ data }) => data === "finish" && this.#finish();
  }

  process([channels]) {
    // A track that is muted or has ended has no channels.
    if (this.active && channels.length) this.#take(this.resampler.push(mono(channels)));
    return this.active;
  }

  #take(samples) {
    for (let done = 0; done < samples.length; ) {
      const part = samples.subarray(done, done + CHUNK - this.filled);
      this.chunk.set(part, this.filled);
      this.filled += part.length;
      done += part.length;
      if (this.filled === CHUNK) this.#post();
    }
  }

  #post() {
    const samples = this.chunk.subarray(0, this.filled);
    const pcm = pcm16(samples).buffer;
    const level = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / (samples.length || 1));
    this.filled = 0;
    this.port.postMessage({ pcm, level }, [pcm]);
  }

  #finish() {
    if (!this.active) return;
    this.active = false;
    this.#take(this.resampler.flush());
    if (this.filled) this.#post();
    this.port.postMessage({ finished: true });
  }
}

registerProcessor("pcm-worklet", PcmWorklet);
