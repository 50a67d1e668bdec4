"""What is kept on disk of each agent, so that the next hub finds it: one small file each, and its log beside it."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import msgspec
from filelock import FileLock, Timeout

from .logs import LogFile
from .states import State

logger = logging.getLogger(__name__)

_SUFFIX = ".json"
_LARGEST = 1 << 20
"""Bytes of a record; the instructions in it have 32 KiB."""


class Record(msgspec.Struct):
    """An agent's facts. Times are epoch seconds; nothing secret: keys are in the environment only."""

    agent_id: Annotated[str, msgspec.Meta(pattern=r"^[\w-]{1,64}$")]
    mode: str
    command: Annotated[list[str], msgspec.Meta(min_length=1)]
    started: float
    since: float
    state: State = State.STARTING
    room: str | None = None
    instructions: str | None = None
    note: str | None = None
    pid: Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)] | None = None
    created: float = 0.0
    restarts: Annotated[int, msgspec.Meta(ge=0)] = 0
    exit_code: int | None = None
    error: str | None = None
    """What is wrong, for everybody."""
    last_line: str | None = None
    """The last line of its log when it ended, for who may see logs; empty: it has written nothing."""
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
            with os.scandir(self.path) as entries:
                return not any(entry.name.endswith(_SUFFIX) for entry in entries)
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
        """All records, oldest first. What cannot be read is left out and told in the log; logs of nobody are removed.
        Raises OSError where the folder itself cannot be read."""
        with os.scandir(self.path) as entries:
            # What is no file has nothing to do with us, and a pipe would keep us waiting.
            files = [Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]
        records = []
        for path in files:
            if path.suffix == _SUFFIX:
                try:
                    records.append(_read(path))
                except (OSError, ValueError) as error:
                    logger.warning("%s is no agent's record and is left out: %s", path, error)
        known = {record.agent_id for record in records}
        for path in files:
            if path.suffix == ".new" or (path.suffix == ".log" and path.stem not in known):
                _unlink(path)
        return sorted(records, key=lambda record: record.started)

    def write(self, record: Record) -> None:
        """Keep it, whole or not at all; raises OSError, whose `filename` is within the folder."""
        path = self._path(record.agent_id)
        temporary = path.with_suffix(".new")
        content = _encode(record)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(path)
        except OSError as error:
            _unlink(temporary)
            error.filename = error.filename or str(temporary)
            raise

    def log(self, agent: str) -> LogFile:
        return LogFile(self.path / f"{agent}.log")

    def remove(self, agent: str) -> None:
        """Forget an agent and its log."""
        for path in (self._path(agent), self.log(agent).path):
            _unlink(path)

    def _path(self, agent: str) -> Path:
        return self.path / f"{agent}{_SUFFIX}"


def _read(path: Path) -> Record:
    """Raises OSError and ValueError."""
    if path.stat().st_size > _LARGEST:
        raise ValueError("it is too large")
    record = _decoder.decode(path.read_bytes())
    if record.agent_id != path.stem:
        raise ValueError("it is another agent's")
    if any("\0" in word for word in record.command):
        raise ValueError("its command has a character of code 0")
    return record


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed: %s", path, error.strerror)
