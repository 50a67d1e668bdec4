"""Erasing from the files that forwarding has written: in place, each line by a tombstone of the same length.

So sizes and offsets stay valid while the hub goes on appending, and a kill in the middle leaves whole lines.
"""

from __future__ import annotations

import errno
import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..cooperate import TimeSlice
from ..forward.jsonl import rotated_files
from ..forward.targets import FILE, Target
from .selector import Selection, tombstone

_SHORTEST = b'{"type":"event_erased"}'
_LONGEST = 16 << 20
"""Bytes: no event is larger, so a longer line is not one of the hub's."""


_UNFINISHED = ".erasing"
"""Suffix of a new file that has not replaced the old one yet."""


class ErasedLines(NamedTuple):
    """How many lines in how many files."""

    lines: int
    files: int


def erase_from_files(targets: tuple[Target, ...], selection: Selection, *, dry_run: bool) -> ErasedLines:
    """Erase what `selection` selects, by the events' own `timestamp` where it has a time. Raises OSError."""
    lines = files = 0
    for target in targets:
        if target.kind == FILE:
            path = Path(target.address)
            if not dry_run:
                for left in rotated_files(path, ".gz" + _UNFINISHED):  # by an erasure that was killed
                    left.unlink(missing_ok=True)
            for file in [*rotated_files(path, ".gz"), *rotated_files(path), path]:
                erase = _erase_compressed if file.suffix == ".gz" else _erase
                found = erase(file, selection, dry_run=dry_run) if file.exists() else 0
                lines += found
                files += found > 0
    return ErasedLines(lines, files)


def _erase(path: Path, selection: Selection, *, dry_run: bool) -> int:
    count = 0
    with path.open("rb" if dry_run else "r+b", buffering=0) as file:
        for at, line in _lines(path):
            replaced = _replaced(line, selection)
            if replaced is not None:
                count += 1
                if not dry_run:
                    _write_at(file, at, replaced)
        if count and not dry_run:
            os.fsync(file.fileno())
    return count


def _erase_compressed(path: Path, selection: Selection, *, dry_run: bool) -> int:
    """Compressed files are not changed in place, but replaced as a whole. Raises OSError also for a damaged one."""
    try:
        count = sum(_replaced(line.rstrip(b"\n"), selection) is not None for line in _unpacked(path))
        if not count or dry_run:
            return count
        fresh = path.with_name(path.name + _UNFINISHED)
        try:
            with gzip.open(fresh, "wb") as out:
                fresh.chmod(path.stat().st_mode & 0o7777)
                for line in _unpacked(path):
                    stone = _replaced(line.rstrip(b"\n"), selection)
                    out.write(line if stone is None else stone + b"\n")
            descriptor = os.open(fresh, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
        return count
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise OSError(errno.EIO, "it is damaged", str(path)) from None


def _unpacked(path: Path) -> Iterator[bytes]:
    time_slice = TimeSlice()
    with gzip.open(path, "rb") as file:
        for line in iter(lambda: file.readline(_LONGEST), b""):
            yield line
            time_slice.pause_if_due()


def _write_at(file: Any, at: int, data: bytes) -> None:
    file.seek(at)
    file.write(data)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and text of each whole line. Through a descriptor of its own: a duplicate would share its position with the one
    that is written through, and reading ahead would lose its place."""
    time_slice = TimeSlice()
    with path.open("rb") as file:
        at = 0
        for line in iter(lambda: file.readline(_LONGEST), b""):
            begin, at = at, at + len(line)
            if line.endswith(b"\n"):
                yield begin, line[:-1]
            time_slice.pause_if_due()


def _replaced(line: bytes, selection: Selection) -> bytes | None:
    try:
        event = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not selection.selects_line(line, event):
        return None
    whole = tombstone(event, "forget")
    short = whole if len(whole) <= len(line) else _SHORTEST if len(_SHORTEST) <= len(line) else b"{}"
    return short.ljust(len(line))
