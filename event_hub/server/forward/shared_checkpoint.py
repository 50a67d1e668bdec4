"""Checkpoints of hubs that share a history: beside the events, each with a lease, so that one process at a time forwards to
a target, and another continues where it was."""

from __future__ import annotations

import msgspec

from ..history import HistoryError
from ..peers.peers import Peers
from .checkpoint import Checkpoint, CheckpointError, CheckpointTaken, FileState


class SharedCheckpoint:
    """As `CheckpointFile`. An owner that was stopped for longer than its lease cannot save: `CheckpointTaken`."""

    def __init__(self, peers: Peers, slug: str, shown: str) -> None:
        self.shown = shown
        self._peers = peers
        self._lease = peers.lease(f"forward:{slug}")
        self._closed = False

    def acquire(self) -> bool:
        """Take the lease; False while another process has it. Raises `CheckpointError`."""
        try:
            if self._closed or not self._lease.take():
                return False
        except HistoryError as error:
            raise CheckpointError(f"its checkpoint cannot be read ({error})") from None
        self._peers.keep(self._lease)
        return True

    def load(self) -> Checkpoint | None:
        """The stored checkpoint, or None. Raises `CheckpointError` if it cannot be read, ValueError if it is invalid."""
        try:
            value = self._lease.value()
        except HistoryError as error:
            raise CheckpointError(f"its checkpoint cannot be read ({error})") from None
        if value is None:
            return None
        try:
            return msgspec.json.decode(value, type=Checkpoint)
        except msgspec.MsgspecError as error:
            raise ValueError(f"the checkpoint of {self.shown} in the history's server is none: {error}") from None

    def save(self, cursor: str, file: FileState | None) -> None:
        """Replace the checkpoint. Raises `CheckpointError`, and `CheckpointTaken` if another process has taken over."""
        if self._closed:
            raise CheckpointTaken
        try:
            stored = self._lease.store(msgspec.json.encode(Checkpoint(self.shown, cursor, file)))
        except HistoryError as error:
            raise CheckpointError(f"its checkpoint cannot be written ({error})") from None
        if not stored:
            raise CheckpointTaken

    def close(self) -> None:
        """Release it for the next process."""
        self._closed = True
        try:
            self._peers.release(self._lease)
        except HistoryError:
            pass  # it ends by itself
