"""What generates the answers: the contract of a backend. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from event_hub.websocket_protocols.llm import ChatRequest, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class Finish:
    """Why an answer ended, and how many tokens it took. Optional; at most once, as the last piece."""

    reason: str | None = None
    usage: Usage | None = None


Piece = str | ToolCall | Finish
"""A piece of an answer: text, a complete tool call, or the end."""


class BackendError(Exception):
    """The answer failed. `code`: in the gateway's catalogue of errors; `sentence`: for the client, without secrets."""

    def __init__(self, sentence: str, *, code: str = "backend_failed", retryable: bool = True) -> None:
        super().__init__(sentence)
        self.sentence, self.code, self.retryable = sentence, code, retryable


class Backend(Protocol):
    """A model. One instance answers all requests, several at once; it keeps nothing between them."""

    name: str
    """For the log and the hub: provider and model."""

    def stream(self, request: ChatRequest) -> AsyncIterator[Piece]:
        """The answer's pieces as they are generated.

        A cancelled request closes the iterator, which ends the generation. Raises BackendError.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...
