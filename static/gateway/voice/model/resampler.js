// Changes the sample rate of audio that arrives in chunks. Pure: runs in the AudioWorklet and in Node.

const ATTENUATION = 80; // dB, of everything that would alias
const EDGE = 0.875; // the pass band, as a share of the lower rate's half: 7 kHz of the 8 kHz that 16 kHz can carry

/** The zeroth modified Bessel function, which shapes Kaiser's window. */
function bessel(x) {
  let sum = 1;
  for (let term = 1, n = 1; term > sum * 1e-12; n += 1) sum += term *= (x / (2 * n)) ** 2;
  return sum;
}

const gcd = (a, b) => (b ? gcd(b, a % b) : a);

/**
 * Resamples by a polyphase filter: a low-pass by a windowed sinc, of which only the samples that are needed are computed.
 *
 * Positions are whole numbers, so neither the chunks' sizes nor the length of a recording change the result by a bit.
 */
export class Resampler {
  /** Sample rates in Hz. */
  constructor(from, to) {
    if (!(Number.isInteger(from) && Number.isInteger(to) && from > 0 && to > 0)) throw new RangeError(`${from} Hz to ${to} Hz: sample rates are whole numbers above 0`);
    const divisor = gcd(from, to);
    this.step = from / divisor; // from one output sample to the next, in units of 1 / phases of an input sample
    this.phases = to / divisor;
    this.passes = from === to;
    const lower = Math.min(from, to);
    const transition = ((1 - EDGE) * lower) / 2; // Hz
    this.cutoff = ((1 + EDGE) * lower) / 4 / from; // the middle of the transition, in cycles per input sample
    this.half = this.passes ? 0 : Math.ceil(((ATTENUATION - 8) * from) / (14.36 * transition * 2)); // input samples on either side
    this.beta = 0.1102 * (ATTENUATION - 8.7);
    this.filters = [];
    // The filter's left half lies before the first sample.
    this.kept = new Float32Array(this.half);
    this.phase = 0;
    this.at = 0; // where the filter of the next output sample begins in `kept`
  }

  /** The output that the input so far allows; it lags by `half` input samples. */
  push(input) {
    if (this.passes) return input.slice();
    const samples = new Float32Array(this.kept.length + input.length);
    samples.set(this.kept);
    samples.set(input, this.kept.length);
    const length = 2 * this.half + 1;
    const room = samples.length - length - this.at; // how far `at` may still move
    const output = new Float32Array(room < 0 ? 0 : Math.floor((room * this.phases + this.phases - 1 - this.phase) / this.step) + 1);
    let [{ at, phase }, n] = [this, 0];
    for (; n < output.length; n += 1) {
      const filter = (this.filters[phase] ??= this.#filter(phase));
      let sum = 0;
      for (let tap = 0; tap < length; tap += 1) sum += samples[at + tap] * filter[tap];
      output[n] = sum;
      phase += this.step;
      at += Math.floor(phase / this.phases);
      phase %= this.phases;
    }
    // `at` may lie beyond the samples when the rate is reduced.
    const used = Math.min(at, samples.length);
    this.kept = samples.slice(used);
    [this.at, this.phase] = [at - used, phase];
    return output;
  }

  /** The rest of the output, when no more input comes. */
  flush() {
    return this.push(new Float32Array(this.half));
  }

  #filter(phase) {
    const filter = new Float32Array(2 * this.half + 1);
    const scale = bessel(this.beta);
    let sum = 0;
    for (let tap = 0; tap < filter.length; tap += 1) {
      const x = tap - this.half - phase / this.phases;
      const inside = 1 - (x / (this.half + 1)) ** 2;
      const angle = 2 * Math.PI * this.cutoff * x;
      filter[tap] = (x === 0 ? 1 : Math.sin(angle) / angle) * (bessel(this.beta * Math.sqrt(Math.max(0, inside))) / scale);
      sum += filter[tap];
    }
    // Every phase passes a constant unchanged; otherwise their differences would be heard as a tone.
    return filter.map((value) => value / sum);
  }
}

/** Samples between -1 and 1 as 16-bit numbers; louder ones are clipped. */
export function pcm16(samples) {
  return Int16Array.from(samples, (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * 32767))));
}

/** The mean of all channels. */
export function mono(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, n) => channels.reduce((sum, channel) => sum + channel[n], 0) / channels.length);
}
