"""`/ws/llm-stream` and `POST /llm/query`: streamed replies with speech, in conversations that outlive a connection."""

from .endpoint import serve
from .query import query

__all__ = ["query", "serve"]
