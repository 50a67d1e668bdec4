"""Erasing from the files that forwarding has written: in place, each line by a tombstone of the same length.

So sizes and offsets stay valid while the hub goes on appending, and a kill in the middle leaves whole lines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..cooperate import TimeSlice
from ..forward.jsonl import rotated_files
from ..forward.targets import FILE, Target
from .selector import Selector, tombstone

_SHORTEST = b'{"type":"event_erased"}'
_LONGEST = 16 << 20
"""Bytes: no event is larger, so a longer line is not one of the hub's."""


class ErasedLines(NamedTuple):
    """How many lines in how many files."""

    lines: int
    files: int


def erase_from_files(targets: tuple[Target, ...], selector: Selector, *, dry_run: bool) -> ErasedLines:
    """Erase what `selector` selects, by the events' own `timestamp` where it has a time. Raises OSError."""
    lines = files = 0
    for target in targets:
        if target.kind == FILE:
            path = Path(target.address)
            for file in [*rotated_files(path), path]:
                found = _erase(file, selector, dry_run=dry_run) if file.exists() else 0
                lines += found
                files += found > 0
    return ErasedLines(lines, files)


def _erase(path: Path, selector: Selector, *, dry_run: bool) -> int:
    count = 0
    with path.open("rb" if dry_run else "r+b", buffering=0) as file:
        for at, line in _lines(file.fileno()):
            replaced = _replaced(line, selector)
            if replaced is not None:
                count += 1
                if not dry_run:
                    _write_at(file, at, replaced)
        if count and not dry_run:
            os.fsync(file.fileno())
    return count


def _write_at(file: Any, at: int, data: bytes) -> None:
    file.seek(at)
    file.write(data)


def _lines(descriptor: int) -> Iterator[tuple[int, bytes]]:
    """Offset and text of each whole line."""
    time_slice = TimeSlice()
    with os.fdopen(os.dup(descriptor), "rb") as file:
        at = 0
        for line in iter(lambda: file.readline(_LONGEST), b""):
            begin, at = at, at + len(line)
            if line.endswith(b"\n"):
                file.seek(at)
                yield begin, line[:-1]
                file.seek(at)
            time_slice.pause_if_due()


def _replaced(line: bytes, selector: Selector) -> bytes | None:
    try:
        event = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not selector.selects(event):
        return None
    timestamp = event.get("timestamp")
    if selector.before is not None and not (isinstance(timestamp, int | float) and timestamp < selector.before):
        return None
    whole = tombstone(event, "forget")
    short = whole if len(whole) <= len(line) else _SHORTEST if len(_SHORTEST) <= len(line) else b"{}"
    return short.ljust(len(line))
