// A WebSocket that reconnects by itself. No DOM: it runs in pages and in Node.

const PERMANENT = new Set([4401, 4403, 4404]); // no token, wrong origin, no such endpoint: trying again changes nothing
const SETTLED = 3000; // milliseconds after which a connection counts as a success, if nothing was received before

/**
 * States: connecting → open ⇄ reconnecting; closing → closed by `close()`; closed when the gateway refuses for good.
 *
 * Options, all optional:
 * - `onstate(state, detail)`: the state has changed. `detail`: `{attempt, at, code}`: the number of the attempt, the time of
 *   the next one (milliseconds since the epoch), and the code with which the last connection was closed.
 * - `onopen(resumed)`: what is sent in it goes first. `resumed`: this is not the first connection.
 * - `onframe(frame, text)`: a text frame; `frame` is null if it is not JSON. `onbinary(ArrayBuffer)`: a binary one.
 * - `heartbeat`, `stale`: milliseconds of silence before a ping, and then before the connection counts as dead.
 * - `first`, `most`: milliseconds to the first reconnection, and the maximum; doubled each time, half of it random.
 * - `queue`: frames that wait while there is no connection; `send` returns false beyond that.
 */
export class ReconnectingSocket {
  constructor(url, options = {}) {
    const { onstate, onopen, onframe, onbinary, heartbeat = 20_000, stale = 10_000, first = 500, most = 15_000, queue = 100 } = options;
    const { makeSocket = (address) => new WebSocket(address), clock = globalThis, now = Date.now, random = Math.random } = options;
    this.url = url;
    this.state = "connecting";
    this.detail = { attempt: 0, at: 0, code: 0 };
    Object.assign(this, { onstate, onopen, onframe, onbinary });
    this.limits = { heartbeat, stale, first, most, queue };
    this.outside = { makeSocket, clock, now, random };
    this.outbox = []; // {data, until, sent}: in order
    this.attempt = 0;
    this.connected = 0; // connections so far
    this.socket = null;
    this.timers = { retry: null, silence: null, settled: null };
    this.online = () => this.wake();
    globalThis.addEventListener?.("online", this.online);
    this.#open();
  }

  /**
   * Send an object as JSON, or a string or ArrayBuffer as it is. Objects and strings wait while there is no connection, and
   * are then delivered in order; binary frames do not wait. Returns false if the frame was not taken.
   *
   * With `until(frame)`, it is sent again after each reconnect until that returns true for a received frame, so the other
   * side has to recognise it.
   */
  send(frame, { until = null } = {}) {
    const binary = frame instanceof ArrayBuffer || ArrayBuffer.isView(frame);
    const data = binary || typeof frame === "string" ? frame : JSON.stringify(frame);
    if (this.state === "closing" || this.state === "closed") return false;
    const open = this.state === "open" && this.socket?.readyState === 1;
    if (binary || this.greeting) return open ? (this.socket.send(data), true) : false;
    if (this.outbox.length >= this.limits.queue) return false;
    this.outbox.push({ data, until, sent: false });
    if (open) this.#flush();
    return true;
  }

  /** How many frames wait for a connection or an answer. */
  get waiting() {
    return this.outbox.length;
  }

  /** Try now, if the next attempt is waiting: the network is back, or a person has asked. */
  wake() {
    if (this.state === "reconnecting" && this.timers.retry !== null) this.#open();
  }

  /** Close it for good. */
  close() {
    if (this.state === "closed") return;
    this.#set("closing");
    this.#drop(1000);
    this.#end();
  }

  // -- one connection -----------------------------------------------------------------------------------------------------

  #open() {
    this.#cancel("retry");
    this.#set(this.connected || this.attempt ? "reconnecting" : "connecting", { attempt: this.attempt, at: this.outside.now() });
    let socket;
    try {
      socket = this.outside.makeSocket(this.url);
    } catch (error) { // an address that is no WebSocket's
      this.#end();
      throw error;
    }
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code }) => this.#closed(code);
    socket.onerror = () => {}; // `close` follows
    this.#listen(); // a connection attempt can hang, too
  }

  #opened() {
    this.timers.settled = this.outside.clock.setTimeout(() => (this.attempt = 0), SETTLED);
    const resumed = this.connected > 0;
    this.connected += 1;
    for (const entry of this.outbox) entry.sent = false;
    this.#set("open", { attempt: 0, at: 0 });
    if (this.state !== "open") return; // `onstate` has closed it
    this.greeting = true;
    try {
      this.onopen?.(resumed);
    } finally {
      this.greeting = false;
    }
    this.#flush();
    this.#listen();
  }

  #flush() {
    for (const entry of this.outbox) {
      if (this.socket?.readyState !== 1) break;
      if (!entry.sent) this.socket.send(entry.data);
      entry.sent = true;
    }
    this.outbox = this.outbox.filter(({ sent, until }) => !sent || until);
  }

  #received(data) {
    this.attempt = 0;
    this.#listen();
    if (typeof data !== "string") return void this.onbinary?.(data);
    let frame = null;
    try {
      frame = JSON.parse(data);
    } catch {
      // not JSON: an echo, or a fault of the other side
    }
    if (frame?.type === "pong") return;
    if (frame) this.outbox = this.outbox.filter(({ until }) => !until?.(frame));
    this.onframe?.(frame, data);
  }

  #closed(code) {
    this.#cancel("silence");
    this.#cancel("settled");
    this.socket = null;
    if (this.state === "closing" || this.state === "closed") return;
    this.detail = { ...this.detail, code };
    if (PERMANENT.has(code)) return this.#end();
    const wait = Math.min(this.limits.most, this.limits.first * 2 ** this.attempt) * (0.5 + this.outside.random() / 2);
    this.attempt += 1;
    this.timers.retry = this.outside.clock.setTimeout(() => this.#open(), wait);
    this.#set("reconnecting", { attempt: this.attempt, at: this.outside.now() + wait, code });
  }

  // Watch for silence: ping, then give the connection up.
  #listen() {
    this.#cancel("silence");
    const { heartbeat, stale } = this.limits;
    this.timers.silence = this.outside.clock.setTimeout(() => {
      if (this.socket?.readyState === 1) this.socket.send('{"type":"ping"}');
      this.timers.silence = this.outside.clock.setTimeout(() => {
        this.#drop(4000);
        this.#closed(4000);
      }, stale);
    }, heartbeat);
  }

  // Forget the socket: a dead one would report its end minutes later.
  #drop(code) {
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    try {
      socket.close(code);
    } catch {
      // already closed
    }
  }

  #end() {
    for (const name of Object.keys(this.timers)) this.#cancel(name);
    globalThis.removeEventListener?.("online", this.online);
    this.outbox = [];
    this.#set("closed");
  }

  #cancel(name) {
    this.outside.clock.clearTimeout(this.timers[name]);
    this.timers[name] = null;
  }

  #set(state, detail = {}) {
    this.state = state;
    this.detail = { ...this.detail, ...detail };
    this.onstate?.(state, this.detail);
  }
}
