"""How far a target has got: a small file for each, replaced as a whole after each batch that was taken."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout


class PlaceError(RuntimeError):
    """A place cannot be read or written. The text is half a sentence that says why, and what to do."""


class Mark(msgspec.Struct, frozen=True):
    """How a file was when the place was saved: by it the file is known again, and what came after it."""

    inode: int
    size: int
    """Bytes."""
    end: str
    """A hash of the last bytes, since another file may have got the same inode."""


class Saved(msgspec.Struct, frozen=True):
    """What is in the file of a place."""

    target: str
    """For people: as it is shown, without secrets."""
    cursor: str
    """The last event that the target has taken."""
    mark: Mark | None = None


class Place:
    """One target's place, in `folder`. One hub at a time has it: `hold` it before anything else, `close` it at the end.

    The file is not synced to the disk: it outlives the end of this process by any means. A crash of the whole machine
    may cost the newest change, and then some events are sent once more.
    """

    def __init__(self, folder: Path, slug: str, shown: str) -> None:
        self.path = folder / f"{slug}.json"
        self.shown = shown
        self._lock: FileLock | None = None
        self._mutex = threading.Lock()
        self._closed = False

    def hold(self) -> bool:
        """Take the place, where no other hub has it; True: it is ours. Raises `PlaceError`."""
        if self._lock is None:
            lock = FileLock(self.path.with_suffix(".lock"), thread_local=False)
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=0)
            except Timeout:
                return False
            except OSError as error:
                raise self._error("written", error) from None
            self._lock = lock
        return True

    def load(self) -> Saved | None:
        """What was saved; None: nothing yet. Raises `PlaceError` where it cannot be read, ValueError for nonsense."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Saved)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error("read", error) from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.path} is no place of a target: {error}") from None

    def save(self, cursor: str, mark: Mark | None) -> None:
        """Replace what was saved, in one step. Raises `PlaceError`; after `close` it does nothing else."""
        data = msgspec.json.encode(Saved(self.shown, cursor, mark)) + b"\n"
        with self._mutex:
            if self._closed:
                raise PlaceError("it is another hub's now")
            try:
                if not self.path.parent.is_dir():  # somebody has removed it, and the lock with it
                    self._unlock()
                if not self.hold():
                    raise PlaceError("it is another hub's now")
                fresh = self.path.with_suffix(".new")
                fresh.write_bytes(data)
                os.replace(fresh, self.path)
            except OSError as error:
                raise self._error("written", error) from None

    def close(self) -> None:
        """Leave it to the next hub."""
        with self._mutex:
            self._closed = True
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _error(self, done: str, error: OSError) -> PlaceError:
        return PlaceError(f"its place {self.path} cannot be {done} ({error.strerror}); see HUB_FORWARD_STATE")
