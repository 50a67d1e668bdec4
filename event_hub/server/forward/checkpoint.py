"""Checkpoints: how far each target has got, in a small file per target, replaced atomically after each accepted batch."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Protocol

import msgspec
from filelock import FileLock, Timeout

from ..private_files import write_private


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read or written. The text is half a sentence: the reason, and what to do."""


class CheckpointTaken(CheckpointError):
    """Another process has taken over this target, because this one was stopped for too long."""

    def __init__(self) -> None:
        super().__init__("another hub has taken over its checkpoint")


class FileState(msgspec.Struct, frozen=True):
    """The state of a file target at the checkpoint: identifies the file, and where later writes begin."""

    inode: int
    size: int
    """Bytes."""
    end: str
    """A hash of the last bytes: the inode of a deleted file can be reused."""


class Checkpoint(msgspec.Struct, frozen=True):
    """How far a target has got. The field names are the format on disk."""

    target: str
    """For operators: the target as displayed, without secrets."""
    cursor: str
    """Everything up to here was accepted or does not match the filter."""
    file: FileState | None = msgspec.field(default=None, name="mark")


class CheckpointStore(Protocol):
    """Where one target's checkpoint is. `acquire` it first, `close` it at the end: one hub at a time uses it."""

    def acquire(self) -> bool: ...

    def load(self) -> Checkpoint | None: ...

    def save(self, cursor: str, file: FileState | None) -> None: ...

    def close(self) -> None: ...


class CheckpointFile:
    """One target's checkpoint, in `folder`. `acquire` it first, `close` it at the end: one hub at a time uses it.

    Not synced to disk: it survives any end of this process. After a crash of the machine, the latest change may be
    missing, and some events are sent again.
    """

    def __init__(self, folder: Path, slug: str, shown: str) -> None:
        self.path = folder / f"{slug}.json"
        self.shown = shown
        self._lock: FileLock | None = None
        self._mutex = threading.Lock()
        self._closed = False

    def acquire(self) -> bool:
        """Lock the checkpoint; False if another hub has locked it. Raises `CheckpointError`."""
        if self._lock is None:
            lock = FileLock(self.path.with_suffix(".lock"), thread_local=False, mode=0o600)
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                lock.acquire(timeout=0)
            except Timeout:
                return False
            except OSError as error:
                raise self._error("written", error) from None
            self._lock = lock
        return True

    def load(self) -> Checkpoint | None:
        """The stored checkpoint, or None. Raises `CheckpointError` if it cannot be read, ValueError if it is invalid."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Checkpoint)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error("read", error) from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.path} is not a checkpoint: {error}") from None

    def save(self, cursor: str, file: FileState | None) -> None:
        """Replace the checkpoint atomically. Raises `CheckpointError`, and always after `close`."""
        data = msgspec.json.encode(Checkpoint(self.shown, cursor, file)) + b"\n"
        with self._mutex:
            if self._closed:
                raise CheckpointError("another hub has taken over its checkpoint")
            try:
                if not self.path.parent.is_dir():  # the folder was deleted, and the lock with it
                    self._unlock()
                if not self.acquire():
                    raise CheckpointError("another hub has taken over its checkpoint")
                fresh = self.path.with_suffix(".new")
                write_private(fresh, data)
                os.replace(fresh, self.path)
            except OSError as error:
                raise self._error("written", error) from None

    def close(self) -> None:
        """Release the checkpoint for the next hub."""
        with self._mutex:
            self._closed = True
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _error(self, operation: str, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"its checkpoint {self.path} cannot be {operation} ({error.strerror}); see HUB_FORWARD_STATE"
        )
