// Plays the replies' speech, one at a time.

const KEPT = 20; // replies that can be played again

/** `changed(id, state)`: ready, playing, blocked, played, stopped, failed, or gone (dropped for newer ones). */
export class Player {
  constructor(changed) {
    this.changed = changed;
    this.urls = new Map(); // id → object URL
    this.audio = null;
    this.id = null;
  }

  /** Take base64-encoded audio, and `play` it. */
  add(id, data, type, { play = true } = {}) {
    let bytes;
    try {
      bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    } catch {
      return this.changed(id, "failed");
    }
    this.#forget(id);
    this.urls.set(id, URL.createObjectURL(new Blob([bytes], { type: /^audio\/[\w.+-]+$/.test(type) ? type : "audio/wav" })));
    if (this.urls.size > KEPT) {
      const [oldest] = this.urls.keys();
      this.#forget(oldest);
      this.changed(oldest, "gone");
    }
    if (play) this.play(id);
    else this.changed(id, "ready");
  }

  /** Play it, from its beginning. Another one that is playing is stopped. */
  play(id) {
    this.stop();
    const url = this.urls.get(id);
    if (!url) return;
    const audio = (this.audio = new Audio(url));
    this.id = id;
    const end = (state) => {
      if (this.audio !== audio) return;
      [this.audio, this.id] = [null, null];
      this.changed(id, state);
    };
    audio.onended = () => end("played");
    audio.onerror = () => end("failed");
    audio.onpause = () => !audio.ended && end("stopped"); // by a headset's button, for example
    audio.play().then(
      () => this.audio === audio && this.changed(id, "playing"),
      (error) => end(error.name === "NotAllowedError" ? "blocked" : "failed"),
    );
  }

  get playing() {
    return this.audio !== null;
  }

  stop() {
    const [audio, id] = [this.audio, this.id];
    if (!audio) return;
    [this.audio, this.id] = [null, null];
    audio.pause();
    audio.removeAttribute("src");
    this.changed(id, "stopped");
  }

  close() {
    this.stop();
    for (const id of [...this.urls.keys()]) this.#forget(id);
  }

  #forget(id) {
    URL.revokeObjectURL(this.urls.get(id) ?? "");
    this.urls.delete(id);
  }
}
