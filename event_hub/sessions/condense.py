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
        self._closed: dict[tuple[_Place, str], set[_Name]] = {}
        """Utterances (`u`), or speakers (`p`), whose final or newest interim has been seen: of what comes before only the
        beginning matters."""
        self._beginnings: dict[_Name, Kept] = {}
        self._whole: dict[_Place, set[str]] = {}
        """Utterances whose text is there as a whole."""
        self._pieces: dict[_Place, dict[str, list[Kept]]] = {}
        self._first: dict[_Place, Kept] = {}
        """The oldest that need not be kept for itself: perhaps its session begins with it."""

    def __len__(self) -> int:
        """How many are kept; pieces of texts are not counted one by one."""
        return len(self._kept) + len(self._beginnings) + sum(map(len, self._pieces.values()))

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
                self._forget(place, "p")
            elif kind == "session_started":
                self._forget(place, "p")
                self._forget(place, "u")
                for pieces in self._pieces.pop(place, {}).values():
                    self._kept += _joined(pieces)
                self._whole.pop(place, None)
            self._kept.append((offset, event))

    def events(self) -> list[Kept]:
        """What is kept, the oldest first."""
        pieces = (piece for texts in self._pieces.values() for text in texts.values() for piece in _joined(text))
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
        kind = "u" if isinstance(utterance, str) else "p"
        name = (place, f"{kind} {utterance if kind == 'u' else speaker}")
        closed = self._closed.setdefault((place, kind), set())
        if event.get("final") is not False:
            self._flush(name)
            closed.add(name)
            self._kept.append(kept)
        elif not event.get("text"):
            self._kept.append(kept)
        elif name in closed:
            self._beginnings[name] = kept
        else:
            closed.add(name)
            self._kept.append(kept)

    def _delta(self, kept: Kept, place: _Place) -> None:
        event = kept[1]
        utterance, offset = event.get("utterance"), event.get("offset")
        if not isinstance(utterance, str) or type(offset) is not int or not isinstance(event.get("delta"), str):
            self._kept.append(kept)
            return
        pieces = self._pieces.setdefault(place, {})
        if utterance in self._whole.get(place, ()):
            pieces[utterance] = [kept]
        else:
            pieces.setdefault(utterance, []).append(kept)

    def _complete(self, event: Event, place: _Place) -> None:
        utterance = event.get("utterance")
        if isinstance(utterance, str) and isinstance(event.get("text"), str):
            self._kept += _joined(self._pieces.get(place, {}).pop(utterance, []))
            self._whole.setdefault(place, set()).add(utterance)

    def _flush(self, name: _Name) -> None:
        beginning = self._beginnings.pop(name, None)
        if beginning is not None:
            self._kept.append(beginning)

    def _forget(self, place: _Place, kind: str) -> None:
        """What is called so before this is something else."""
        for name in self._closed.pop((place, kind), ()):
            self._flush(name)


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
