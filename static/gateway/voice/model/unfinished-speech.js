// The audio that has no final transcript yet. It is sent again when the connection was lost. Pure.

const SECOND = 32_000; // bytes of 16 kHz 16-bit mono
const LONGEST = 60 * SECOND;
const QUIET = 2 * SECOND; // the server notices speech late
const FRAME = 3 * SECOND; // well below GATEWAY_MAX_FRAME

/** States: `quiet`; `speaking`; `finished` (a final transcript came while speaking); `awaited` (spoken, no final yet). */
export class UnfinishedSpeech {
  constructor() {
    this.chunks = []; // ArrayBuffers
    this.bytes = 0;
    this.lost = 0; // bytes dropped because of LONGEST
    this.state = "quiet";
  }

  /** `heard`: whether the server receives it now, and would notice speech. */
  push(chunk, heard) {
    this.chunks.push(chunk);
    this.bytes += chunk.byteLength;
    if (this.state === "quiet" && heard) this.#drop(QUIET);
    this.lost += this.#drop(LONGEST);
  }

  started() {
    this.state = "speaking";
  }

  ended() {
    this.#settle(this.state === "finished" ? "quiet" : "awaited");
  }

  /** A final transcript has come. */
  final() {
    this.#settle(this.state === "speaking" ? "finished" : "quiet");
  }

  /** All of it, in frames of a size that the gateway takes. It stays unfinished. */
  frames() {
    const joined = new Uint8Array(this.bytes);
    let at = 0;
    for (const chunk of this.chunks) {
      joined.set(new Uint8Array(chunk), at);
      at += chunk.byteLength;
    }
    return Array.from({ length: Math.ceil(this.bytes / FRAME) }, (_, n) => joined.slice(n * FRAME, (n + 1) * FRAME).buffer);
  }

  #settle(state) {
    this.state = state;
    if (state === "quiet") this.#drop(QUIET);
  }

  #drop(most) {
    const before = this.bytes;
    let n = 0;
    while (this.bytes > most) this.bytes -= this.chunks[n++].byteLength;
    this.chunks.splice(0, n);
    return before - this.bytes;
  }
}
