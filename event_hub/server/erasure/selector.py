"""What is to be erased, and what remains of it: the tombstone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from ..filters import Filter, Scope, is_glob
from ..history.base import TOMBSTONE


@dataclass(frozen=True, slots=True)
class Selector:
    """Events that have all of these. Names are exact, whatever they contain. `before`: received before, in epoch seconds."""

    session: str | None = None
    room: str | None = None
    participant: str | None = None
    before: float | None = None

    def filter(self) -> Filter:
        """A filter that passes all that is selected, and perhaps more; by an index where there is one."""
        if self.session is not None and not is_glob(self.session):
            return Filter(sessions=(self.session,))
        return Filter().narrowed(Scope((self.room,)) if self.room is not None else None)

    def selects(self, event: Mapping[str, Any]) -> bool:
        """Whether `event` is selected, regardless of when it was received. What is erased already is not."""
        named = (("session", self.session), ("room", self.room), ("participant", self.participant))
        return event.get("type") != TOMBSTONE and all(name is None or event.get(key) == name for key, name in named)


def tombstone(event: Mapping[str, Any], by: str) -> bytes:
    """What takes the place of `event`: its time, and nothing else of it. `by`: forget or retention."""
    timestamp = event.get("timestamp")
    kept = timestamp if isinstance(timestamp, int | float) else 0
    return msgspec.json.encode({"type": TOMBSTONE, "timestamp": kept, "by": by})
