"""Where the agent's text is read as the session gives it out: in front of the session's own text output."""

from __future__ import annotations

from collections.abc import Callable

from livekit.agents.voice.io import TextOutput

Text = Callable[[str], object]


class TextTap(TextOutput):
    """Hands every piece of text on to what was there before, and a copy to `text`; `flushed` at the end of a segment.

    Neither may raise or wait: what fails here would cut the agent's message short.
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
