"""What is kept on disk of each agent, so that the next hub finds it: one small file each, and its log beside it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from .logs import LogFile
from .states import State

logger = logging.getLogger(__name__)

_SUFFIX = ".json"


class Record(msgspec.Struct):
    """An agent's facts. Times are epoch seconds; nothing secret: keys are in the environment only."""

    agent_id: str
    mode: str
    command: list[str]
    started: float
    since: float
    state: State = State.STARTING
    room: str | None = None
    instructions: str | None = None
    note: str | None = None
    pid: int | None = None
    created: float = 0.0
    restarts: int = 0
    exit_code: int | None = None
    error: str | None = None
    message: str | None = None


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Record)


class Folder:
    """Where the records and logs of one hub's agents lie. One hub at a time holds it.

    The hub's port is a part of the path: agents report to that port, so it is the next hub there that they belong to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: FileLock | None = None

    def empty(self) -> bool:
        """Nothing was ever kept here; looks, and makes nothing."""
        try:
            return not any(entry.name.endswith(_SUFFIX) for entry in os.scandir(self.path))
        except OSError:
            return True

    def hold(self) -> bool:
        """Take it for this hub; False while another hub holds it. Raises OSError where it cannot be made."""
        if self._lock is None:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(self.path / "lock", thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return False
            self._lock = lock
        return True

    def release(self) -> None:
        """Let the next hub have it."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def read(self) -> list[Record]:
        """All records, oldest first. One that cannot be read is left out and told in the log; logs of nobody are removed."""
        records = []
        for path in self.path.glob(f"*{_SUFFIX}"):
            try:
                record = _decoder.decode(path.read_bytes())
                if record.agent_id != path.stem:
                    raise ValueError("it is another agent's")
                records.append(record)
            except (OSError, ValueError) as error:
                logger.warning("%s is no agent's record and is left out: %s", path, error)
        known = {record.agent_id for record in records}
        for path in self.path.glob("*.log"):
            if path.stem not in known:
                path.unlink(missing_ok=True)
        return sorted(records, key=lambda record: record.started)

    def write(self, record: Record) -> None:
        """Keep it, whole or not at all; raises OSError."""
        path = self._path(record.agent_id)
        temporary = path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_encode(record))
        temporary.replace(path)

    def log(self, agent: str) -> LogFile:
        return LogFile(self.path / f"{agent}.log")

    def remove(self, agent: str) -> None:
        """Forget an agent and its log."""
        for path in (self._path(agent), self.log(agent).path):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("%s cannot be removed: %s", path, error.strerror)

    def _path(self, agent: str) -> Path:
        return self.path / f"{agent}{_SUFFIX}"
