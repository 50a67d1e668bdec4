"""The interface to sessions that are not in memory. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .session import Session


class Shelf(Protocol):
    """Stores sessions that are not in memory, and finds them by the offsets of their first events. It may also return
    outdated copies of sessions in memory: the caller ignores those."""

    def load(self, first: int) -> tuple[Session, bool]:
        """The session, as it is after all events so far, and whether its room has been in use since LiveKit last closed
        it."""
        ...

    def of_names(self, room: str | None, session: str | None) -> Sequence[int]: ...

    def newest_of_room(self, room: str) -> Sequence[int]:
        """The session to which events belong that name only the room."""
        ...

    def of_name(self, session: str, limit: int) -> Sequence[int]:
        """Sessions of this name, the one to which events belong that name no room first."""
        ...

    def of_process(self, process: str) -> Sequence[int]: ...

    def of_job(self, job: str) -> Sequence[int]: ...

    def ended_by(self, offset: int) -> Sequence[int]:
        """The sessions that the event at this offset ended."""
        ...

    def awake_in(self, room: str) -> Sequence[int]:
        """The sessions that end when LiveKit closes the room."""
        ...
