// The smallest client of the text chat: `new StreamingAgentClient("ws://localhost:8765")`. It does not reconnect; for that,
// see socket.js. Works in browsers and in Node 22 and later.

export class StreamingAgentClient {
  constructor(url) {
    this.url = url;
    this.ws = null;
    this.onDelta = null; // (delta, accumulated): the agent writes
    this.onComplete = null; // (text): a generation is complete
    this.onResult = null; // (events): the turn is over, with its tool calls
    this.onError = null; // (message): something was refused or failed
    this.onClose = null; // (code): the connection is closed
  }

  /** Resolves when the agent is ready. Rejects with an Error if the gateway cannot be reached or refuses. */
  connect() {
    return new Promise((resolve, reject) => {
      const ws = (this.ws = new WebSocket(this.url));
      let refused = `No gateway answers at ${this.url}`;
      ws.onmessage = ({ data }) => {
        const frame = this.#parsed(data);
        if (frame?.type === "ready") resolve();
        if (frame?.type === "error") refused = frame.message;
        if (frame) this.handleMessage(frame);
      };
      ws.onclose = ({ code }) => {
        reject(new Error(refused)); // does nothing once it is resolved
        this.onClose?.(code);
      };
    });
  }

  handleMessage(frame) {
    if (frame.type === "delta") this.onDelta?.(frame.delta, frame.accumulated);
    if (frame.type === "complete") this.onComplete?.(frame.text);
    if (frame.type === "result") this.onResult?.(frame.events);
    if (frame.type === "error") this.onError?.(frame.message);
  }

  /** Send what the user writes. Throws an Error while there is no connection. */
  send(message) {
    if (this.ws?.readyState !== 1) throw new Error("Not connected: call connect() first.");
    this.ws.send(JSON.stringify({ message }));
  }

  close() {
    this.ws?.close();
  }

  #parsed(data) {
    try {
      return JSON.parse(data);
    } catch {
      this.onError?.("The server sent a frame that is not JSON.");
      return null;
    }
  }
}
