import { useState } from "react";
import { useStreamingAgent } from "./useStreamingAgent.js";

export function ChatComponent({ url = "ws://localhost:8765" }) {
  const { isStreaming, currentText, error, sendMessage } = useStreamingAgent(url);
  const [message, setMessage] = useState("Hello!");
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        sendMessage(message);
      }}
    >
      <p aria-live="polite">
        {currentText}
        {isStreaming && <span className="cursor">|</span>}
      </p>
      {error && <p role="alert">{error}</p>}
      <input value={message} onChange={(event) => setMessage(event.target.value)} aria-label="Message" />
      <button>Send</button>
    </form>
  );
}
