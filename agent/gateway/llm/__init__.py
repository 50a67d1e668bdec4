"""`/llm`: an LLM behind a WebSocket, for agents (`WebSocketLLM`) and pages. Stateless, and without LiveKit.

Serve a model of your own by overriding one method:

>>> class Parrot(LLMServer):
...     async def _generate_streaming_response(self, request):
...         yield request.messages[-1]["content"]
>>> Parrot(name="Parrot").main()  # doctest: +SKIP
"""

from .backends import Backend, BackendError, Finish, Piece
from .endpoint import serve
from .server import LLMServer

__all__ = ["Backend", "BackendError", "Finish", "LLMServer", "Piece", "serve"]
