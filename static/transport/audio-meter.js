// Measures the volume of an audio track.

const INTERVAL = 80; // ms
const FLOOR = 60; // dB below full scale at which the meter reads 0

export class AudioMeter {
  /** `track`: a MediaStreamTrack; `show(level)`: called with 0 to 1 until `close`. */
  constructor(track, show) {
    this.audio = new AudioContext();
    const analyser = this.audio.createAnalyser();
    analyser.fftSize = 1024;
    this.source = this.audio.createMediaStreamSource(new MediaStream([track]));
    this.source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.timer = setInterval(() => {
      if (this.audio.state === "suspended") this.audio.resume().catch(() => {});
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      show(power > 0 ? Math.max(0, Math.min(1, 1 + (10 * Math.log10(power)) / FLOOR)) : 0);
    }, INTERVAL);
  }

  close() {
    clearInterval(this.timer);
    this.source.disconnect();
    this.audio.close().catch(() => {});
  }
}
