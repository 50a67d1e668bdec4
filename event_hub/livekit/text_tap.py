"""Reads the agent's text as the session outputs it, in front of the session's own text output."""

from __future__ import annotations

from collections.abc import Callable

from livekit.agents.voice.io import TextOutput

from .conversation import Conversation
from .guarded import Failed

RecordSaid = Callable[..., None]
"""Records something about the speech that is being said: a method of `Conversation`, and its arguments. Does not wait."""


class TextTap(TextOutput):
    """Passes text on to the output that was there before, and records it. `failed` gets what recording raises: an exception
    from here would truncate the agent's message.
    """

    def __init__(
        self, owner: object, record_said: RecordSaid, failed: Failed, next_in_chain: TextOutput | None
    ) -> None:
        super().__init__(label="event_hub", next_in_chain=next_in_chain)
        self.owner = owner
        self._record_said, self._failed = record_said, failed
        self.active = True

    async def capture_text(self, text: str) -> None:
        if self.active:
            try:
                self._record_said(Conversation.text, text)
            except Exception as error:
                self._failed("text", error)
        if self.next_in_chain is not None:
            await self.next_in_chain.capture_text(text)

    def flush(self) -> None:
        if self.active:
            try:
                self._record_said(Conversation.flush)
            except Exception as error:
                self._failed("flush", error)
        if self.next_in_chain is not None:
            self.next_in_chain.flush()
