"""Reads the agent's text as the session outputs it, in front of the session's own text output."""

from __future__ import annotations

from collections.abc import Callable

from livekit.agents.voice.io import TextOutput

Text = Callable[[str], object]


class TextTap(TextOutput):
    """Passes text on to the output that was there before; `text` gets a copy, `flushed` is called after each segment.

    Neither may raise or wait: an exception here would truncate the agent's message.
    """

    def __init__(
        self, owner: object, text: Text, flushed: Callable[[], object], next_in_chain: TextOutput | None
    ) -> None:
        super().__init__(label="event_hub", next_in_chain=next_in_chain)
        self.owner = owner
        self._text = text
        self._flushed = flushed
        self.active = True

    async def capture_text(self, text: str) -> None:
        if self.active:
            self._text(text)
        if self.next_in_chain is not None:
            await self.next_in_chain.capture_text(text)

    def flush(self) -> None:
        if self.active:
            self._flushed()
        if self.next_in_chain is not None:
            self.next_in_chain.flush()
