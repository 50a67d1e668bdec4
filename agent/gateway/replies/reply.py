"""One reply as a log of frames that any number of clients follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from event_hub.websocket_protocols.base import Error, Frame
from event_hub.websocket_protocols.replies import Ask, Audio, Chunk, End


class Reply:
    """What the gateway answers to one request. It belongs to its conversation: a client that leaves does not end it, and
    one that comes back gets all of it. Followers never wait for each other."""

    def __init__(self, ask: Ask, request_id: str) -> None:
        self.ask, self.request_id = ask, request_id
        self.followers = 0
        self.over = False
        self.cancelled = asyncio.Event()
        self._frames: list[Frame] = []
        self._changed = asyncio.Event()

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(frame.content for frame in self._frames if isinstance(frame, Chunk))

    @property
    def end(self) -> End | None:
        """The end of its text, once it is complete."""
        return next((frame for frame in self._frames if isinstance(frame, End)), None)

    @property
    def audio(self) -> Audio | None:
        """The speech, once it is there and as long as it is kept."""
        return next((frame for frame in self._frames if isinstance(frame, Audio)), None)

    @property
    def error(self) -> Error | None:
        """The first failure, if there is one."""
        return next((frame for frame in self._frames if isinstance(frame, Error)), None)

    @property
    def failed(self) -> bool:
        """Whether it is over without its text being complete: the request may be tried again."""
        return self.over and self.end is None

    def add(self, frame: Frame) -> None:
        """Append a frame; every follower gets it."""
        self._frames.append(frame)
        self._wake()

    def finish(self) -> None:
        """Nothing more comes."""
        self.over = True
        self._wake()

    def cancel(self) -> None:
        """End it early."""
        self.cancelled.set()

    def drop_audio(self) -> None:
        """Forget the speech, which is large. Called once it is over."""
        self._frames = [frame for frame in self._frames if not isinstance(frame, Audio)]

    async def follow(self) -> AsyncIterator[Frame]:
        """All frames from the first on, until it is over."""
        self.followers += 1
        try:
            at = 0
            while True:
                changed = self._changed
                frames = self._frames
                while at < len(frames):
                    yield frames[at]
                    at += 1
                    frames = self._frames
                if self.over and at >= len(self._frames):
                    return
                if changed is self._changed:
                    await changed.wait()
        finally:
            self.followers -= 1

    async def done(self) -> None:
        """Wait until it is over."""
        async for _ in self.follow():
            pass

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
