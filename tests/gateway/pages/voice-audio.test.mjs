// V30: the voice page's conversion of audio to 16 kHz PCM.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Resampler, mono, pcm16 } from "../../../static/gateway/voice/model/resampler.js";

const RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000];
const sine = (frequency, rate, length) => Float32Array.from({ length }, (_, n) => Math.sin((2 * Math.PI * frequency * n) / rate));
const rms = (samples) => Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
const decibels = (samples) => 20 * Math.log10(Math.max(1e-10, rms(samples) * Math.SQRT2));
const middle = (samples) => samples.slice(1000, -1000);

function convert(samples, from, sizes = [128]) {
  const resampler = new Resampler(from, 16000);
  const parts = [];
  for (let at = 0, n = 0; at < samples.length; n += 1) {
    const size = sizes[n % sizes.length];
    parts.push(resampler.push(samples.subarray(at, at + size)));
    at += size;
  }
  parts.push(resampler.flush());
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

for (const rate of RATES) {
  test(`${rate} Hz: what 16 kHz can carry passes, in place; what would alias does not`, () => {
    const half = Math.min(rate, 16000) / 2;
    for (const frequency of [50, 440, 1000, 3000, half * 0.8, half * 0.87]) {
      const output = convert(sine(frequency, rate, rate / 4), rate);
      const expected = sine(frequency, 16000, output.length);
      const difference = middle(output.map((sample, n) => sample - expected[n]));
      assert.ok(decibels(difference) < -55, `${frequency} Hz differs by ${decibels(difference)} dB`);
    }
    for (const frequency of [8100, 9000, 11000, 15000, 16000, 20000].filter((each) => each < rate / 2 && rate > 16000)) {
      const level = decibels(middle(convert(sine(frequency, rate, rate / 4), rate)));
      assert.ok(level < -70, `${frequency} Hz is still at ${level} dB`);
    }
  });

  test(`${rate} Hz: the length is right and the chunks' sizes make no difference`, () => {
    const samples = Float32Array.from({ length: rate / 4 + 17 }, (_, n) => Math.sin(n * n * 1e-5)); // a sweep
    const whole = convert(samples, rate, [samples.length]);
    assert.ok(Math.abs(whole.length - (samples.length * 16000) / rate) <= 1, `${whole.length}`);
    for (const sizes of [[128], [1], [7, 441, 1, 128, 3000]]) assert.deepEqual(convert(samples, rate, sizes), whole);
  });
}

test("a long recording does not drift", () => {
  const resampler = new Resampler(44100, 16000);
  let count = 0;
  for (let n = 0; n < 60 * 44100; n += 44100) count += resampler.push(new Float32Array(44100)).length;
  assert.equal(count + resampler.flush().length, 60 * 16000);
});

test("a constant stays one, without a ripple", () => {
  const output = middle(convert(new Float32Array(44100).fill(0.5), 44100));
  assert.ok(output.every((sample) => Math.abs(sample - 0.5) < 1e-5));
});

test("rates that are no rates are refused", () => {
  for (const rate of [0, -1, 44100.5, NaN, undefined, "48000"]) assert.throws(() => new Resampler(rate, 16000), RangeError);
});

test("16-bit numbers: full scale, clipped, rounded", () => {
  assert.deepEqual([...pcm16([0, 1, -1, 2, -2, 0.5, 1e-9])], [0, 32767, -32767, 32767, -32768, 16384, 0]);
});

test("the channels of a stereo microphone become one", () => {
  const channel = Float32Array.of(1, 0);
  assert.equal(mono([channel]), channel);
  assert.deepEqual([...mono([channel, Float32Array.of(0, -1)])], [0.5, -0.5]);
});
