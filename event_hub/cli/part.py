"""An output file that may be interrupted at any moment, and is gone on with by the next run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from .ending import USAGE, Failed

_OFTEN = 1.0
"""Seconds between two notes of how far it is."""
_FORM = 1


class _Done(NamedTuple):
    """What is certain: up to which id, how many events, how many bytes."""

    cursor: str
    events: int
    length: int


class Part:
    """`FILE.part` takes the output, `FILE.part.json` says up to which byte and which event it is certain.

    First the bytes are on the disk, then the note that they are: after a kill -9, or a power failure, the note is true,
    and whatever the part has beyond it is cut off before the output goes on.
    """

    def __init__(self, output: Path, query: dict[str, Any], *, restart: bool = False) -> None:
        """Open the part of `output`, or begin it. `query`: what is exported; a part of something else is refused."""
        self.path = output.with_name(output.name + ".part")
        self._output = output
        self._note = output.with_name(output.name + ".part.json")
        self._fresh = output.with_name(output.name + ".part.json.new")
        self._query = query
        self.resumed = False
        self._done = _Done("", 0, 0)
        note = None if restart else self._read_note()
        if note is not None and note["query"] != query:
            changed = [name for name in query if note["query"].get(name) != query[name]]
            raise Failed(
                f"{self.path} was begun with other options ({', '.join(changed) or 'of another version'}): give the same "
                "ones to go on, or --restart to begin again",
                USAGE,
            )
        self._file: BinaryIO = self.path.open("r+b" if self.path.exists() else "w+b")
        try:
            _lock(self._file, self.path)
            self._resume(note)
        except BaseException:
            self._file.close()
            raise
        self._noted = time.monotonic()

    @property
    def cursor(self) -> str:
        """The id after which it goes on."""
        return self._done.cursor

    @property
    def events(self) -> int:
        """How many events it has."""
        return self._done.events

    @property
    def empty(self) -> bool:
        """Nothing was written so far."""
        return self._done.length == 0

    def write(self, data: bytes, cursor: str = "", events: int = 1) -> None:
        """Add the output of one event, whose id is `cursor`; without one, what comes before the events."""
        self._file.write(data)
        done = self._done
        # In one step: Ctrl-C may come between any two.
        self._done = _Done(cursor or done.cursor, done.events + (events if cursor else 0), done.length + len(data))
        if time.monotonic() - self._noted > _OFTEN:
            self.save()

    def save(self) -> None:
        """Make certain what was written so far."""
        done = self._done
        self._file.flush()
        os.fsync(self._file.fileno())
        note = {"form": _FORM, "query": self._query, **done._asdict()}
        with self._fresh.open("wb") as file:
            file.write(msgspec.json.encode(note) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._fresh.replace(self._note)
        _sync_folder(self._output)
        self._noted = time.monotonic()

    def finish(self, *, overwrite: bool) -> None:
        """All is written: the part becomes the output."""
        self.save()
        if not overwrite and self._output.exists():
            raise Failed(f"{self._output} is there by now: --overwrite replaces it. {self.path} has the whole export")
        self._release(lambda: self.path.replace(self._output))
        self._note.unlink(missing_ok=True)
        self._fresh.unlink(missing_ok=True)
        _sync_folder(self._output)

    def kept(self) -> bool:
        """It ends early: make certain what was written, or remove a part without events. Returns whether it is there."""
        if self._file.closed:
            return False
        if self.events:
            try:
                self.save()
            except OSError:  # a full disk: the last note that could be written holds
                pass
            return True
        self.close()
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        """Leave the part as it is."""
        try:
            self._file.close()
        except OSError:  # what cannot be written any more is beyond the last note
            pass

    def _release(self, rename: Callable[[], object]) -> None:
        if os.name == "nt":  # an open file cannot be renamed there
            self._file.close()
        rename()
        self._file.close()

    def _resume(self, note: dict[str, Any] | None) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if note is not None and size >= note["length"] > 0:
            self._done = _Done(note["cursor"], note["events"], note["length"])
            self.resumed = bool(self.cursor)
        self._file.truncate(self._done.length)
        self._file.seek(self._done.length)

    def _read_note(self) -> dict[str, Any] | None:
        try:
            note = msgspec.json.decode(self._note.read_bytes())
            right = note["form"] == _FORM and isinstance(note["query"], dict) and isinstance(note["cursor"], str)
            right = right and type(note["length"]) is int and type(note["events"]) is int
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            right = False
        if not right:
            raise Failed(f"{self._note} is not what this version writes: --restart begins again")
        return dict(note)


def _lock(file: BinaryIO, path: Path) -> None:
    """One export at a time; Windows keeps an open file from others by itself."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failed(f"another export is writing {path}: wait for it, or choose another file") from None
    except OSError:
        return  # a file system without locks
    if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        raise Failed(f"another export has just finished {path}")  # what was opened is its output by now


def _sync_folder(path: Path) -> None:
    """Renames are certain when their folder is on the disk."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY)
    except OSError:
        return  # Windows
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
