"""What may be missing after a shared history has lost its newest events, and what may not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from .records import Gap, Item, Record


def lost_without_reason(history: Sequence[Record], acknowledged: dict[str, str], saved: Collection[str]) -> list[str]:
    """The keys of acknowledged events that are missing although they were saved, or came after the loss."""
    stored = {record.key for record in history}
    now = history[-1].cursor.epoch
    return [
        key
        for key, cursor in acknowledged.items()
        if key not in stored and (key in saved or cursor.partition("-")[0] == now)
    ]


def stream_problems_after_loss(
    history: Sequence[Record], seen: Sequence[Item], matches: Callable[[Record], bool]
) -> list[str]:
    """What is wrong with a stream that began with the oldest event of a history which then has lost its newest ones: it may
    show what was lost, then a gap, then what the history has, each event once. No place may mean two events."""
    expected = [record for record in history if matches(record)]
    places = {record.cursor: record for record in history}
    position = 0  # in `expected`
    lost: Record | None = None
    last = 0  # the offset of what it has seen of what was lost
    for number, item in enumerate(seen):
        if isinstance(item, Gap) and item.reason == "future_cursor":
            continue  # at a hub that had not noticed the loss yet: it ends the stream when it does
        if isinstance(item, Gap):
            skipped = [r for r in expected[position:] if r.cursor.offset <= item.last.offset]
            if item.reason != "unknown_epoch" or item.missed is not None or skipped:
                return [f"item {number}: {item} conceals {skipped[:1]}"]
            lost = None
        elif item.cursor not in places:
            if item.cursor.offset <= last:
                return [f"item {number}: doubled or out of order: {item}"]
            lost, last = item, item.cursor.offset
        elif places[item.cursor] != item:
            return [f"item {number}: {item} has the place of {places[item.cursor]}"]
        elif lost is not None:
            return [f"item {number}: {item} follows {lost}, which was lost, without a gap"]
        elif position >= len(expected) or item != expected[position]:
            return [f"item {number}: {item}, expected {expected[position : position + 1]}"]
        else:
            position += 1
    if lost is not None:
        return [f"{lost} was lost, and no gap says so"]
    if position < len(expected):
        return [f"{len(expected) - position} events did not arrive, the first {expected[position]}"]
    return []
