// `/ws/llm-stream`, and `POST /llm/query` when the WebSocket cannot be had.
//
// The turns without a reply are the queue: they are sent when there is a connection, and again after one was lost, always with
// the same request id. The gateway answers an id once.

import { check } from "../model/frames.js";

const PATIENCE = 2500; // ms without a WebSocket until a message is sent by POST
const ANSWER = 120_000; // ms for the reply to a POST
const SPEECH = 30_000; // ms for a reply's speech
const SENDS = 5; // of a message to which nothing comes back
const PENDING = 8; // messages without a reply

export class Replies {
  /**
   * `connect(path, handlers)`: opens a ReconnectingSocket; `address`: of the gateway; `voice()`: the chosen voice, "" for the
   * default, "none" for no speech; `speak(id, data, type)`: speech to be played.
   */
  constructor(connect, { address, conversation, session, voice, speak, note, state }) {
    Object.assign(this, { connect, address, conversation, session, voice, speak, note, state });
    this.sends = new Map(); // id → how often it was sent without a frame that answers it
    this.posting = null;
    this.socket = null;
  }

  open() {
    this.socket = this.connect("/ws/llm-stream", {
      opened: () => this.#opened(),
      frame: (frame) => this.#take(frame),
      state: (state, detail) => {
        this.synchronised = false;
        this.state(state, detail);
        if (state === "reconnecting" && detail?.attempt > 1) this.#post();
      },
    });
  }

  get connected() {
    return this.socket?.state === "open";
  }

  /** Send a message. Returns its turn, or null when too many are waiting. */
  ask(id, text, spoken) {
    if (this.conversation.pending.length >= PENDING) return null;
    const turn = this.conversation.ask(id, text, { spoken });
    this.#remember();
    if (this.connected) this.#send(turn);
    else setTimeout(() => this.#post(), PATIENCE);
    return turn;
  }

  /** Send a message again that has failed, under another id. */
  again(turn, id) {
    this.conversation.update(turn, { id, state: "waiting", reply: "", note: "", voice: undefined });
    this.#remember();
    if (this.connected) this.#send(turn);
    else this.#post();
  }

  /** End the replies in progress. What has arrived of them stays. */
  cancel() {
    for (const turn of this.conversation.pending) {
      if (this.connected) this.socket.send({ type: "cancel", request_id: turn.id });
      this.conversation.update(turn, { state: "interrupted", speech: "", note: "" });
    }
    this.posting?.abort();
    this.posting = null;
    this.#remember();
  }

  close() {
    this.posting?.abort();
    this.socket?.close();
    this.socket = null;
  }

  // -- by WebSocket ------------------------------------------------------------------------------------------------------

  #opened() {
    // All in their order, the one that is being posted too: the gateway answers it once.
    this.posting?.abort();
    this.posting = null;
    this.socket.send({ type: "sync", session_id: this.session.id });
    for (const turn of this.conversation.turns) {
      if (turn.pending || turn.speech === "expected") this.#send(turn);
    }
  }

  #send(turn) {
    const count = (this.sends.get(turn.id) ?? 0) + 1;
    if (count > SENDS) return this.#fail(turn, `The gateway lost the connection ${SENDS} times without replying.`);
    this.sends.set(turn.id, count);
    console.log("📤 Sending to LLM streaming endpoint:", { text: turn.text });
    this.socket.send(this.#request(turn));
  }

  #request(turn) {
    const { id, text } = turn;
    const voice = (turn.voice ??= this.voice());
    return { text, session_id: this.session.id, ...(voice && { voice_id: voice }), chat_history: this.conversation.history(), request_id: id };
  }

  #take(data) {
    const frame = check(data, "replies");
    if (!frame) return console.warn("⚠️ A frame that is not understood, from /ws/llm-stream");
    if (frame.type === "error") return this.#error(frame);
    if (frame.type === "state") return frame.session_id === this.session.id && this.conversation.adopt(frame.history);
    this.sends.delete(frame.request_id);
    if (frame.type === "audio") return this.#audio(frame.request_id, frame);
    const turn = this.conversation.take(frame);
    if (!turn) return undefined;
    if (frame.type === "start") console.log("🚀 LLM streaming started");
    if (frame.type === "chunk") console.log("📝 Streaming chunk:", frame.content);
    if (frame.type === "end") {
      console.log("✅ LLM streaming completed");
      this.#complete(turn);
    }
    return undefined;
  }

  #complete(turn) {
    if (turn.state === "done" && turn.reply && turn.voice !== "none") {
      console.log("🔊 Generating TTS for response");
      this.conversation.update(turn, { speech: "expected" });
      setTimeout(() => {
        if (turn.speech === "expected") this.conversation.update(turn, { speech: "failed", note: "This reply was not spoken: the connection was lost meanwhile." });
      }, SPEECH);
    }
    this.#remember();
  }

  #audio(id, { data, content_type: type }) {
    const turn = this.conversation.turn(id);
    if (turn?.speech === "expected") this.speak(id, data, type);
  }

  #error({ message, request_id: id, code }) {
    console.warn("⚠️ /ws/llm-stream:", code, message);
    const turn = id === undefined ? null : this.conversation.turn(id);
    if (turn?.pending) return this.#fail(turn, message);
    if (turn?.speech === "expected") return this.conversation.update(turn, { speech: "failed", note: message });
    if (code === "no_such_request") return undefined; // a cancel that came too late
    // An error without an id is about a frame that the gateway could not read, or about the connection.
    const [unread] = id === undefined && REFUSED.has(code) ? this.conversation.pending.filter(({ state }) => state === "waiting").slice(-1) : [];
    if (unread) return this.#fail(unread, message);
    return this.note(message);
  }

  #fail(turn, note) {
    this.conversation.update(turn, { state: "failed", speech: "", note });
    this.#remember();
  }

  #remember() {
    this.session.remember(this.conversation.pending);
  }

  // -- by POST -----------------------------------------------------------------------------------------------------------

  /** Answer what waits, one message after the other, until there is a WebSocket or no gateway. */
  async #post() {
    if (this.posting || !this.socket || this.connected) return;
    const posting = (this.posting = new AbortController());
    for (let reached = true; reached; ) {
      const [turn] = this.conversation.pending;
      reached = turn && !this.connected && (await this.#query(turn, posting.signal));
      if (posting.signal.aborted) return;
    }
    this.posting = null;
  }

  /** Returns false if the gateway cannot be reached. */
  async #query(turn, signal) {
    console.warn("⚠️ WebSocket unavailable, falling back to POST /llm/query");
    let response, body;
    try {
      response = await fetch(this.address.http("/llm/query"), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(this.#request(turn)),
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER)]),
      });
      body = await response.json();
    } catch (error) {
      if (signal.aborted) return false;
      if (turn.pending) this.conversation.update(turn, { note: "No connection to the gateway. This message is sent as soon as it is back." });
      console.warn("⚠️ POST /llm/query:", error.message);
      return false;
    }
    if (!turn.pending) return true; // cancelled
    if (!response.ok || typeof body?.response !== "string") {
      const sentence = typeof body?.message === "string" ? body.message : `The gateway answered with HTTP ${response.status}.`;
      this.#fail(turn, sentence);
      return true;
    }
    this.sends.delete(turn.id);
    this.conversation.update(turn, { state: "done", reply: body.response, note: "Sent without a WebSocket, so the reply came in one piece." });
    this.#complete(turn);
    if (turn.speech !== "expected") return true;
    if (check({ ...body.audio, type: "audio", request_id: turn.id }, "replies")) this.#audio(turn.id, body.audio);
    else this.conversation.update(turn, typeof body.audio_error === "string" ? { speech: "failed", note: body.audio_error } : { speech: "" });
    return true;
  }
}

// Codes of errors that are about the message that was sent last.
const REFUSED = new Set(["bad_json", "bad_frame", "wrong_endpoint", "frame_too_large", "empty_message", "message_too_long", "too_many_pending", "too_many_sessions"]);
