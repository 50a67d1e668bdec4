"""The record of each agent on disk, by which the next hub finds it: one small file per agent, with its log beside it."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from filelock import FileLock, Timeout

from .logs import LogFile
from .mask import LONGEST_ADDRESS
from .modes import AutoStart
from .states import LIVE, State

if TYPE_CHECKING:
    from ..settings import Settings

logger = logging.getLogger(__name__)

_SUFFIX = ".json"
_LARGEST = 1 << 20
"""Bytes of a record that is read; its instructions alone can have 32 KiB."""

Restart = Literal["on-failure", "always"]


class AgentRecord(msgspec.Struct):
    """The facts about an agent. Times are epoch seconds. No secrets: keys are in the environment only."""

    agent_id: Annotated[str, msgspec.Meta(pattern=r"^[\w-]{1,64}$")]
    mode: str
    command: Annotated[list[str], msgspec.Meta(min_length=1)]
    started: float
    since: float
    state: State = State.STARTING
    room: str | None = None
    instructions: str | None = None
    restart: Restart = "on-failure"
    from_setting: bool = False
    """HUB_AGENTS names it. Whether the next hub starts it is decided by that hub's HUB_AGENTS, not by this record."""
    note: str | None = None
    pid: Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)] | None = None
    created: float = 0.0
    restarts: Annotated[int, msgspec.Meta(ge=0)] = 0
    exit_code: int | None = None
    error: str | None = None
    """What is wrong, for every reader of the status."""
    last_line: str | None = None
    """The last line of its log at its end, for those who may read logs; empty: the log is empty."""
    message: str | None = None
    address: Annotated[str, msgspec.Meta(max_length=LONGEST_ADDRESS)] | None = None
    """Where it serves, as its program has reported."""

    @property
    def key(self) -> AutoStart:
        """Its mode and room, of which only one agent can be live."""
        return AutoStart(self.mode, self.room)


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(AgentRecord)


class Folder:
    """The folder with the records and logs of one hub's agents. One hub at a time holds it.

    The hub's port is part of the path: agents report to that port, so the next hub on it is the one they belong to.
    Everything in it is private to the hub's user.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: FileLock | None = None

    def empty(self) -> bool:
        """Whether there are no records. Creates nothing."""
        try:
            with os.scandir(self.path) as entries:
                return not any(entry.name.endswith(_SUFFIX) for entry in entries)
        except OSError:
            return True

    def hold(self) -> bool:
        """Lock it for this hub; False while another hub holds it. Raises OSError if it cannot be created."""
        if self._lock is None:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_private()
            lock = FileLock(self.path / "lock", mode=0o600, thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return False
            self._lock = lock
        return True

    def release(self) -> None:
        """Unlock it for the next hub."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _make_private(self) -> None:
        """A folder that existed may be open to other users, and so may its files, if they were copied here."""
        try:
            self.path.chmod(0o700)
            for path in self.path.iterdir():
                if path.is_file() and not path.is_symlink():
                    path.chmod(0o600)
        except OSError as error:
            logger.warning("%s cannot be made private: %s", error.filename or self.path, error.strerror)

    def read(self) -> list[AgentRecord]:
        """All records, oldest first. Unreadable records are skipped and logged; logs without a record are removed.
        Raises OSError if the folder itself cannot be read."""
        with os.scandir(self.path) as entries:
            # Only files: opening a pipe would block.
            files = [Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]
        records = []
        for path in files:
            if path.suffix == _SUFFIX:
                try:
                    records.append(_read(path))
                except (OSError, ValueError) as error:
                    logger.warning("%s is not an agent's record and is skipped: %s", path, error)
        known = {record.agent_id for record in records}
        for path in files:
            if path.suffix == ".new" or (path.suffix == ".log" and path.stem not in known):
                _unlink(path)
        return sorted(records, key=lambda record: record.started)

    def write(self, record: AgentRecord) -> None:
        """Store it atomically; raises OSError whose `filename` is within the folder."""
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

    def is_live(self, agent: str) -> bool:
        """Whether there is a record that says so."""
        try:
            return _read(self._path(agent)).state in LIVE
        except (OSError, ValueError):
            return False

    def logs(self) -> str | None:
        """The path of the folder, if any agent's log in it has content."""
        try:
            logs = [path for path in self.path.glob("*.log") if path.stat().st_size]
        except OSError:
            return None
        return str(self.path) if logs else None

    def log(self, agent: str) -> LogFile:
        return LogFile(self.path / f"{agent}.log")

    def remove(self, agent: str) -> None:
        """Remove an agent's record and log."""
        for path in (self._path(agent), self.log(agent).path):
            _unlink(path)

    def _path(self, agent: str) -> Path:
        return self.path / f"{agent}{_SUFFIX}"


def folder_of(settings: Settings) -> Folder:
    """The folder of the agents of this hub."""
    return Folder(Path(settings.agent_state) / str(settings.port))


def _read(path: Path) -> AgentRecord:
    """Raises OSError and ValueError."""
    if path.stat().st_size > _LARGEST:
        raise ValueError("it is too large")
    record = _decoder.decode(path.read_bytes())
    if record.agent_id != path.stem:
        raise ValueError("it is another agent's")
    if any("\0" in word for word in record.command):
        raise ValueError("its command contains a null character")
    return record


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed: %s", path, error.strerror)


_BRIEF = ("agent_id", "mode", "room", "pid", "address", "status", "note", "error")


def brief(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts in the response to a start or stop; those that are null are omitted."""
    return {name: facts[name] for name in _BRIEF if facts[name] is not None}
