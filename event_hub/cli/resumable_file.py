"""An output file that may be interrupted at any moment; the next run resumes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from .exits import USAGE_ERROR, CommandFailed

_CHECKPOINT_INTERVAL = 1.0
"""Seconds between two checkpoints."""
_FORM = 1
"""The version of the checkpoint's format."""


class _Written(NamedTuple):
    """What was written: up to which event id, how many events, how many bytes."""

    cursor: str
    events: int
    length: int


class ResumableFile:
    """`FILE.part` receives the output; `FILE.part.json`, the checkpoint, records how much of it is on disk.

    The output is synced before its checkpoint is written, so after a kill -9 or a power failure the checkpoint is valid.
    Anything in the partial file beyond it is truncated before the output is resumed.
    """

    def __init__(self, output: Path, query: dict[str, Any], *, restart: bool = False) -> None:
        """Open the partial file of `output`, or create it. `query`: what is exported; raises `CommandFailed` if the
        partial file is of another query."""
        self.path = output.with_name(output.name + ".part")
        self._output = output
        self._checkpoint_path = output.with_name(output.name + ".part.json")
        self._new_checkpoint_path = output.with_name(output.name + ".part.json.new")
        self._query = query
        self.resumed = False
        self._written = _Written("", 0, 0)
        checkpoint = None if restart else self._read_checkpoint()
        if checkpoint is not None and checkpoint["query"] != query:
            changed = [name for name in query if checkpoint["query"].get(name) != query[name]]
            raise CommandFailed(
                f"{self.path} was started with other options ({', '.join(changed) or 'by another version'}): use the same "
                "options to resume it, or --restart to start over",
                USAGE_ERROR,
            )
        self._file: BinaryIO = self.path.open("r+b" if self.path.exists() else "w+b")
        try:
            _lock(self._file, self.path)
            self._resume(checkpoint)
        except BaseException:
            self._file.close()
            raise
        self._saved_at = time.monotonic()

    @property
    def cursor(self) -> str:
        """The id of the last event written."""
        return self._written.cursor

    @property
    def events(self) -> int:
        """The number of events written."""
        return self._written.events

    @property
    def empty(self) -> bool:
        """Whether nothing has been written."""
        return self._written.length == 0

    def write(self, data: bytes, cursor: str = "", events: int = 1) -> None:
        """Append the output of one event with the id `cursor`; without an id, a header."""
        self._file.write(data)
        before = self._written
        # A single assignment, because Ctrl-C may interrupt between any two.
        self._written = _Written(
            cursor or before.cursor, before.events + (events if cursor else 0), before.length + len(data)
        )
        if time.monotonic() - self._saved_at > _CHECKPOINT_INTERVAL:
            self.save()

    def save(self) -> None:
        """Sync the output, then write a checkpoint."""
        written = self._written
        self._file.flush()
        os.fsync(self._file.fileno())
        checkpoint = {"form": _FORM, "query": self._query, **written._asdict()}
        with self._new_checkpoint_path.open("wb") as file:
            file.write(msgspec.json.encode(checkpoint) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._new_checkpoint_path.replace(self._checkpoint_path)
        _sync_folder(self._output)
        self._saved_at = time.monotonic()

    def finish(self, *, overwrite: bool) -> None:
        """The output is complete: rename the partial file."""
        self.save()
        if not overwrite and self._output.exists():
            raise CommandFailed(
                f"{self._output} exists by now: --overwrite replaces it. {self.path} has the whole export"
            )
        self._rename(lambda: self.path.replace(self._output))
        self._checkpoint_path.unlink(missing_ok=True)
        self._new_checkpoint_path.unlink(missing_ok=True)
        _sync_folder(self._output)

    def interrupt(self) -> bool:
        """The command ends early: save a checkpoint, or delete a partial file without events. Returns whether the file
        can be resumed."""
        if self._file.closed:
            return False
        if self.events:
            try:
                self.save()
            except OSError:  # a full disk: the last checkpoint stays valid
                pass
            return True
        self.close()
        self.path.unlink(missing_ok=True)
        self._checkpoint_path.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        """Close the partial file without a checkpoint."""
        try:
            self._file.close()
        except OSError:  # data that cannot be flushed is beyond the last checkpoint
            pass

    def _rename(self, rename: Callable[[], object]) -> None:
        if os.name == "nt":  # Windows cannot rename an open file
            self._file.close()
        rename()
        self._file.close()

    def _resume(self, checkpoint: dict[str, Any] | None) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if checkpoint is not None and size >= checkpoint["length"] > 0:
            self._written = _Written(checkpoint["cursor"], checkpoint["events"], checkpoint["length"])
            self.resumed = bool(self.cursor)
        self._file.truncate(self._written.length)
        self._file.seek(self._written.length)

    def _read_checkpoint(self) -> dict[str, Any] | None:
        try:
            found = msgspec.json.decode(self._checkpoint_path.read_bytes())
            valid = found["form"] == _FORM and isinstance(found["query"], dict) and isinstance(found["cursor"], str)
            valid = valid and type(found["length"]) is int and type(found["events"]) is int
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            valid = False
        if not valid:
            raise CommandFailed(f"{self._checkpoint_path} was not written by this version: --restart starts over")
        return dict(found)


def _lock(file: BinaryIO, path: Path) -> None:
    """Allow one export at a time. On Windows an open file is locked anyway."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CommandFailed(f"another export is writing {path}: wait for it, or choose another file") from None
    except OSError:
        return  # a file system without locks
    if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        raise CommandFailed(f"another export has just finished {path}")  # the file opened here is now its output


def _sync_folder(path: Path) -> None:
    """Sync the folder of `path`, so that renames in it survive a power failure."""
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
