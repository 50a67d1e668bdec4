"""A stretch of the history without what later events have replaced. Pure.

Whoever reads a conversation from its beginning needs no interim that became a final, no piece of a text that is there as a
whole, no state that has changed since: a twentieth to a third of the events leads to the same conversation. As with a
compacted log (https://kafka.apache.org/documentation/#compaction), what is left is in its order, at its own offsets, and
is read like the rest. Only one thing is written anew: the pieces of a text that never became whole are one piece.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

from ..events import KNOWN
from .values import Event

Kept = tuple[int, dict[str, Any]]

_NEWEST = frozenset({"agent_state_changed", "user_state_changed", "usage_updated"})
"""Of these only the newest matters."""
_UNSEEN = frozenset({"tool_call_updated"})
_Place = tuple[Any, Any]
_Name = tuple[_Place, str]


class Condenser:
    """Takes the events of a stretch, the newest first, and keeps those that matter."""

    def __init__(self) -> None:
        self._kept: list[Kept] = []
        self._seen: set[tuple[_Place, str]] = set()
        self._closed: set[_Name] = set()
        """Utterances, or speakers, whose final or newest interim has been seen: of what comes before only the beginning
        matters."""
        self._beginnings: dict[_Name, Kept] = {}
        self._whole: set[_Name] = set()
        """Utterances whose text is there as a whole."""
        self._pieces: dict[_Name, list[Kept]] = {}
        self._first: dict[_Place, Kept] = {}
        """The oldest that need not be kept for itself: perhaps its session begins with it."""

    def __len__(self) -> int:
        """How many are kept; pieces of texts are not counted one by one."""
        return len(self._kept) + len(self._beginnings) + len(self._pieces)

    def take(self, offset: int, event: dict[str, Any]) -> None:
        """The event at `offset`, which lies before all that were taken."""
        place: _Place = (event.get("room"), event.get("session"))
        kind: str = event["type"]
        if kind == "transcript":
            self._transcript((offset, event), place)
        elif kind == "agent_text_delta":
            self._delta((offset, event), place)
        elif kind in _NEWEST or kind in _UNSEEN or not (kind in KNOWN or kind.startswith("livekit_")):
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
                self._forget(place, "p ")
            elif kind == "session_started":
                self._forget(place, "")
            self._kept.append((offset, event))

    def events(self) -> list[Kept]:
        """What is kept, the oldest first."""
        pieces = chain.from_iterable(map(_joined, self._pieces.values()))
        others = chain(self._beginnings.values(), pieces, self._first.values())
        return sorted(chain(self._kept, others), key=lambda kept: kept[0])

    def _transcript(self, kept: Kept, place: _Place) -> None:
        event = kept[1]
        utterance = event.get("utterance")
        agent = event.get("role") == "agent"
        if agent and not isinstance(utterance, str):
            self._kept.append(kept)
            return
        speaker = event.get("participant") or event.get("role") or ""
        name = (place, f"u {utterance}" if isinstance(utterance, str) else f"p {speaker}")
        if event.get("final") is not False:
            self._flush(name)
            self._closed.add(name)
            self._kept.append(kept)
        elif not event.get("text"):
            self._kept.append(kept)
        elif name in self._closed:
            self._beginnings[name] = kept
        else:
            self._closed.add(name)
            self._kept.append(kept)

    def _delta(self, kept: Kept, place: _Place) -> None:
        event = kept[1]
        utterance, offset = event.get("utterance"), event.get("offset")
        if not isinstance(utterance, str) or type(offset) is not int or not isinstance(event.get("delta"), str):
            self._kept.append(kept)
            return
        name = (place, f"d {utterance}")
        if name in self._whole:
            self._pieces[name] = [kept]
        else:
            self._pieces.setdefault(name, []).append(kept)

    def _complete(self, event: Event, place: _Place) -> None:
        utterance = event.get("utterance")
        if isinstance(utterance, str) and isinstance(event.get("text"), str):
            name = (place, f"d {utterance}")
            self._kept += _joined(self._pieces.pop(name, []))
            self._whole.add(name)

    def _flush(self, name: _Name) -> None:
        beginning = self._beginnings.pop(name, None)
        if beginning is not None:
            self._kept.append(beginning)

    def _forget(self, place: _Place, prefix: str) -> None:
        """What is called so before this is something else."""
        for name in [name for name in self._closed if name[0] == place and name[1].startswith(prefix)]:
            self._flush(name)
            self._closed.discard(name)
        if not prefix:
            for name in [name for name in {*self._pieces, *self._whole} if name[0] == place]:
                self._kept += _joined(self._pieces.pop(name, []))
                self._whole.discard(name)


def _joined(pieces: list[Kept]) -> list[Kept]:
    """The pieces of one text, the newest first, with those that follow each other in one."""
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
