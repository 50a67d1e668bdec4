"""What publishers, subscribers and the history say about the same events, and whether they agree. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from event_hub.sse import Cursor

HUB_ONLY = {"heartbeat", "stream_opened", "stream_gap", "stream_closing"}


@dataclass(frozen=True)
class Record:
    """An event and its place: `key` identifies it, `type` is its type."""

    cursor: Cursor
    key: str
    type: str

    @classmethod
    def of(cls, cursor: str, event: dict[str, Any]) -> Record:
        parsed = Cursor.parse(cursor)
        assert parsed is not None, f"not a cursor: {cursor!r}"
        return cls(parsed, str(event.get("event_id") or cursor), event["type"])


@dataclass(frozen=True)
class Gap:
    """A `stream_gap` of a subscriber: the offsets that it spans, and the number that it gives."""

    first: Cursor | None
    last: Cursor
    missed: int | None
    reason: str


Item = Record | Gap


def history_problems(
    history: Sequence[Record], acknowledged: dict[str, str], order: Iterable[Sequence[str]], *, epochs: bool = False
) -> list[str]:
    """What is wrong with a history. `acknowledged`: the id that each key was acknowledged with. `order`: the keys of each
    publisher, in the order of publication. `epochs`: it may have several epochs."""
    problems = []
    offsets = [record.cursor.offset for record in history]
    if offsets != list(range(1, len(history) + 1)):
        problems.append(f"the offsets of the history are not 1…{len(history)}")
    if len({record.cursor.epoch for record in history}) > 1 and not epochs:
        problems.append("the history has more than one epoch")
    twice = [key for key, count in Counter(record.key for record in history).items() if count > 1]
    if twice:
        problems.append(f"{len(twice)} events doubled in the history, such as {twice[0]}")
    stored = {record.key: str(record.cursor) for record in history}
    lost = [key for key in acknowledged if key not in stored]
    if lost:
        problems.append(f"{len(lost)} acknowledged events lost, such as {lost[0]}")
    moved = [key for key, cursor in acknowledged.items() if stored.get(key, cursor) != cursor]
    if moved:
        problems.append(
            f"{len(moved)} events acknowledged with another id, such as {moved[0]}: {acknowledged[moved[0]]}"
        )
    place = {record.key: number for number, record in enumerate(history)}
    for keys in order:
        places = [place[key] for key in keys if key in place]
        if places != sorted(places):
            problems.append("a publisher's events are not in its order")
    return problems


def stream_problems(
    history: Sequence[Record], seen: Sequence[Item], matches: Callable[[Record], bool], filtered: bool
) -> list[str]:
    """What is wrong with a stream that began with the oldest event and should have reached the head: each matching event
    once, in order and with its id, or a gap that is honest about what it leaves out."""
    expected = [record for record in history if matches(record)]
    position = 0  # in `expected`
    for number, item in enumerate(seen):
        if isinstance(item, Gap):
            if item.first is None or item.reason in ("unknown_epoch", "unknown_cursor", "future_cursor"):
                return [f"item {number}: a gap of the reason {item.reason} although no event was lost: {item}"]
            start = position
            while position < len(expected) and expected[position].cursor.offset <= item.last.offset:
                position += 1
            left_out = expected[start:position]
            if left_out and left_out[0].cursor.offset <= item.first.offset:
                return [f"item {number}: the gap {item} conceals {left_out[0]}"]
            number_missed = len(left_out) if filtered else item.last.offset - item.first.offset
            if item.missed is not None and item.missed != number_missed:
                return [f"item {number}: the gap {item} leaves out {number_missed}"]
        elif position >= len(expected):
            return [f"item {number}: {item} after the head"]
        elif item == expected[position]:
            position += 1
        else:
            what = "doubled or out of order" if item.cursor.offset < expected[position].cursor.offset else "lost before"
            return [f"item {number}: {what}: {item}, expected {expected[position]}"]
    if position < len(expected):
        return [f"{len(expected) - position} events did not arrive, the first {expected[position]}"]
    return []
