"""An LLM behind a WebSocket, for an AgentSession: `AgentSession(llm=WebSocketLLM(ws_url="ws://localhost:8765"))`."""

from .llm import WebSocketLLM
from .stream import WebSocketLLMStream

__all__ = ["WebSocketLLM", "WebSocketLLMStream"]
