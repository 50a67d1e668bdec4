"""`/` and `/chat`: a text chat with an agent, one AgentSession for each connection."""

from .endpoint import serve
from .server import ChatServer

__all__ = ["ChatServer", "serve"]
