"""A stretch of the history without what later events replaced. Pure.

To show a conversation from its beginning, a reader does not need interims that became finals, pieces of texts that
became whole, or states that changed since: a twentieth to a third of the events is enough for the same conversation. As
in a compacted log (https://kafka.apache.org/documentation/#compaction), the events that are left keep their order and
their offsets. Only the pieces of a text that never became whole are joined into one.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from ..events import KNOWN
from .fields import Event, name
from .utterances import slot

Kept = tuple[int, dict[str, Any]]

_NEWEST = frozenset({"agent_state_changed", "user_state_changed", "usage_updated"})
"""Types of which only the newest event matters."""
_UNSEEN = frozenset({"tool_call_updated"})
"""Known types that show nowhere in a conversation."""
_ENDS = frozenset({"session_started", "session_ended"})
"""After these, the name of an utterance means a new one."""
_SHOWN = frozenset({*KNOWN, "agent_text_unsaid"})
_Place = tuple[Any, Any]
_Name = tuple[_Place, str]


class Condenser:
    """Takes the events of a stretch, newest first, and keeps those that matter."""

    def __init__(self) -> None:
        self._kept: list[Kept] = []
        self._seen: set[tuple[_Place, str]] = set()
        self._closed: dict[tuple[_Place, str], set[_Name]] = {}
        """By `slot`: utterances whose final or newest interim has been seen. Of their earlier events only the first
        matters."""
        self._beginnings: dict[_Name, Kept] = {}
        self._whole: dict[_Place, set[str]] = {}
        """Utterances whose complete text has been seen."""
        self._pieces: dict[_Place, dict[str, list[Kept]]] = {}
        self._first: dict[_Place, Kept] = {}
        """The oldest event that does not matter by itself, but its session may begin with it."""

    def __len__(self) -> int:
        """How many events are kept; the pieces of a text count once."""
        return len(self._kept) + len(self._beginnings) + sum(map(len, self._pieces.values()))

    def take(self, offset: int, event: dict[str, Any]) -> None:
        """Take the event at `offset`, which is older than all that were taken before."""
        place: _Place = (event.get("room"), event.get("session"))
        kind: str = event["type"]
        if kind == "transcript":
            self._transcript((offset, event), place)
        elif kind == "agent_text_delta":
            self._delta((offset, event), place)
        elif kind in _NEWEST or kind in _UNSEEN or not (kind in _SHOWN or kind.startswith("livekit_")):
            group = kind if kind in _NEWEST else ""
            if (place, group) not in self._seen:
                self._seen.add((place, group))
                self._kept.append((offset, event))
            else:
                self._first[place] = (offset, event)
        else:
            if kind == "agent_text_complete":
                self._complete(event, place)
            elif kind == "user_speech_started":
                self._forget(place, "p")
            elif kind in _ENDS:
                self._forget(place, "p")
                self._forget(place, "u")
                for pieces in self._pieces.pop(place, {}).values():
                    self._kept += _joined(pieces)
                self._whole.pop(place, None)
            self._kept.append((offset, event))

    def events(self) -> list[Kept]:
        """The events that are kept, oldest first."""
        pieces = (piece for texts in self._pieces.values() for text in texts.values() for piece in _joined(text))
        others = chain(self._beginnings.values(), pieces, self._first.values())
        return sorted(chain(self._kept, others), key=lambda kept: kept[0])

    def _transcript(self, kept: Kept, place: _Place) -> None:
        event = kept[1]
        kind, label = slot(event)
        if event.get("role") == "agent" and kind == "p":
            self._kept.append(kept)
            return
        key = (place, f"{kind} {label}")
        closed = self._closed.setdefault((place, kind), set())
        if event.get("final") is not False:
            self._flush(key)
            closed.add(key)
            self._kept.append(kept)
        elif not event.get("text"):
            self._kept.append(kept)
        elif key in closed:
            self._beginnings[key] = kept
        else:
            closed.add(key)
            self._kept.append(kept)

    def _delta(self, kept: Kept, place: _Place) -> None:
        event = kept[1]
        utterance, offset = name(event, "utterance"), event.get("offset")
        if utterance is None or type(offset) is not int or not isinstance(event.get("delta"), str):
            self._kept.append(kept)
            return
        pieces = self._pieces.setdefault(place, {})
        if utterance in self._whole.get(place, ()):
            pieces[utterance] = [kept]
        else:
            pieces.setdefault(utterance, []).append(kept)

    def _complete(self, event: Event, place: _Place) -> None:
        utterance = name(event, "utterance")
        if utterance is not None and isinstance(event.get("text"), str):
            self._kept += _joined(self._pieces.get(place, {}).pop(utterance, []))
            self._whole.setdefault(place, set()).add(utterance)

    def _flush(self, key: _Name) -> None:
        beginning = self._beginnings.pop(key, None)
        if beginning is not None:
            self._kept.append(beginning)

    def _forget(self, place: _Place, kind: str) -> None:
        """In events before this one, these names mean other utterances."""
        for key in self._closed.pop((place, kind), ()):
            self._flush(key)


def _joined(pieces: list[Kept]) -> list[Kept]:
    """The pieces of one text, newest first; those that follow each other are joined."""
    result: list[Kept] = []
    texts: list[str] = []
    end = -1
    for offset, event in reversed(pieces):
        if event["offset"] == end and texts:
            texts.append(event["delta"])
        else:
            _close(result, texts)
            result.append((offset, event))
            texts = [event["delta"]]
        end = event["offset"] + len(event["delta"])
    _close(result, texts)
    return result


def _close(result: list[Kept], texts: list[str]) -> None:
    if len(texts) > 1:
        offset, event = result[-1]
        result[-1] = (offset, {**event, "delta": "".join(texts)})
