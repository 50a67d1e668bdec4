// The microphone: its permission, its audio as PCM, and its release.

const FINISH = 500; // ms for the worklet's last chunk

/** `pcm(buffer, level)`: 50 ms of 16 kHz 16-bit mono PCM, and its RMS (0 to 1). `lost()`: the microphone was disconnected. */
export class Microphone {
  constructor({ pcm, lost }) {
    this.pcm = pcm;
    this.lost = lost;
    this.run = null;
  }

  /** Why there can be no microphone here, whatever the user allows; or "". */
  static obstacle() {
    if (!isSecureContext) return "insecure";
    return navigator.mediaDevices?.getUserMedia && globalThis.AudioWorkletNode ? "" : "unsupported";
  }

  /** Ask for the microphone and begin. Returns its stream, or null if `release` was called meanwhile; throws what the browser throws. */
  async start() {
    const run = (this.run = { stream: null, audio: null, node: null });
    try {
      // A click has led here, so the context may start; later it might not.
      run.audio = new AudioContext({ latencyHint: "interactive" });
      const loaded = run.audio.audioWorklet.addModule(new URL("../pcm-worklet.js", import.meta.url));
      loaded.catch(() => {}); // awaited below, unless there is no microphone
      const constraints = { channelCount: { ideal: 1 }, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
      run.stream = await navigator.mediaDevices.getUserMedia({ audio: constraints });
      if (this.run !== run) return this.#close(run);
      await loaded;
      await run.audio.resume();
      if (this.run !== run) return this.#close(run);
      this.#connect(run);
      return run.stream;
    } catch (error) {
      this.#close(run);
      if (this.run !== run) return null;
      this.run = null;
      throw error;
    }
  }

  #connect(run) {
    run.node = new AudioWorkletNode(run.audio, "pcm-worklet");
    run.node.port.onmessage = ({ data }) => {
      if (data.finished) run.finished?.();
      else this.pcm(data.pcm, data.level);
    };
    run.audio.createMediaStreamSource(run.stream).connect(run.node);
    // It puts out silence. Browsers run only nodes that lead to the destination.
    run.node.connect(run.audio.destination);
    for (const track of run.stream.getTracks()) track.addEventListener("ended", () => this.run === run && this.lost());
  }

  /** Release the microphone; resolves when all that it has heard was passed to `pcm`. */
  async stop() {
    const run = this.run;
    if (!run) return;
    this.run = null;
    for (const track of run.stream?.getTracks() ?? []) track.stop(); // the browser's sign goes out now
    if (run.node && run.audio.state === "running") {
      const finished = new Promise((resolve) => (run.finished = resolve));
      run.node.port.postMessage("finish");
      await Promise.race([finished, new Promise((resolve) => setTimeout(resolve, FINISH))]);
    }
    this.#close(run);
  }

  /** Release the microphone at once. */
  release() {
    if (this.run) this.#close(this.run);
    this.run = null;
  }

  #close({ stream, audio, node }) {
    for (const track of stream?.getTracks() ?? []) track.stop();
    node?.port.close();
    node?.disconnect();
    if (audio && audio.state !== "closed") audio.close().catch(() => {});
    return null;
  }
}
