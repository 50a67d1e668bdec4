import { useCallback, useEffect, useRef, useState } from "react";

const IDLE = { isStreaming: false, currentText: "", isComplete: false, error: null };

function parsed(data) {
  try {
    return JSON.parse(data) ?? {};
  } catch {
    return { type: "error", message: "The server sent a frame that is not JSON" };
  }
}

// Chat with the gateway (make gateway) or with websocket_server.py.
//
// sendMessage(text) clears the answer; while deltas arrive, isStreaming is true and currentText grows; then isComplete is
// true. An answer with a tool call has several texts: currentText is the last one. The socket is closed on unmount, and
// opened again for another wsUrl.
export function useStreamingAgent(wsUrl) {
  const socket = useRef(null);
  const [state, setState] = useState(IDLE);

  useEffect(() => {
    const ws = (socket.current = new WebSocket(wsUrl));
    const change = (part) => ws === socket.current && setState((before) => ({ ...before, ...part }));
    ws.onmessage = ({ data }) => {
      const frame = parsed(data);
      if (frame.type === "delta") change({ isStreaming: true, isComplete: false, currentText: frame.accumulated });
      if (frame.type === "complete") change({ isStreaming: false, isComplete: true, currentText: frame.text });
      if (frame.type === "error") change({ isStreaming: false, error: frame.message });
    };
    ws.onclose = () => change({ isStreaming: false, error: `The connection to ${wsUrl} is closed` });
    return () => {
      socket.current = null;
      ws.close();
    };
  }, [wsUrl]);

  const sendMessage = useCallback((message) => {
    if (socket.current?.readyState !== WebSocket.OPEN) return false;
    setState(IDLE);
    socket.current.send(JSON.stringify({ message }));
    return true;
  }, []);

  return { ...state, sendMessage };
}
