"""One running program: started in a session of its own, watched, ended with all that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import psutil

from .logs import LogFile

ID = "HUB_AGENT_ID"
"""The variable by which a program knows who it is, and by which it is recognised."""
_SAME = 1.0
"""Seconds by which a process's time of birth may differ and it is still the same: clocks are corrected."""
_ROUNDS = 10
"""Looks for what is left of a session: something in it may be forking while we look."""
_WINDOWS = os.name == "nt"


class Ended(NamedTuple):
    """A program is over. `code`: its exit code, negative for the signal that ended it; None: nobody could ask it."""

    code: int | None


class Program:
    """A program that runs, or has run. `child`: we have started it; without, an earlier hub has."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self.created = 0.0
        self._process: psutil.Process | None = None
        self._child = child
        try:
            self._process = psutil.Process(pid)
            self.created = self._process.create_time()
        except psutil.Error:
            pass  # it has ended, and gevent has collected it already

    @classmethod
    def start(cls, command: Sequence[str], environ: Mapping[str, str], log: LogFile) -> Program:
        """Start it; raises OSError where that is not possible.

        In a session of its own (no Ctrl-C of ours, and all that it forks can be found), writing into a file and not a
        pipe: so it outlives the hub, whatever happens to that.
        """
        descriptor = log.open()
        try:
            child = subprocess.Popen(
                list(command),
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                **_apart(),
            )
        finally:
            os.close(descriptor)
        return cls(child.pid, child)

    @classmethod
    def find(cls, agent: str, pid: int | None, created: float) -> Program | None:
        """The program of an agent that an earlier hub has started; None: it is gone.

        A pid may be another's by now, so the variable that we gave it must be there; where that cannot be seen (another
        user's, or a program that writes its title over it) the time of birth must fit. Without a pid (the hub was killed
        between starting it and writing that down) the variable alone finds it.
        """
        for process in psutil.process_iter() if pid is None else _processes(pid):
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                environ = _environ(process)
                if "PATH" in environ or ID in environ:
                    fits = environ.get(ID) == agent and _leads(process.pid)
                else:
                    fits = pid is not None and abs(process.create_time() - created) < _SAME
                if fits:
                    return cls(process.pid)
            except (psutil.Error, OSError):
                continue
        return None

    @staticmethod
    def sweep(agent: str, pid: int) -> None:
        """End what an agent has left behind whose program is gone: what is in its session *and* has its variable, for
        after a restart of the machine that session is somebody else's."""
        for process in psutil.process_iter():
            try:
                if _belongs(process.pid, pid) and _environ(process).get(ID) == agent:
                    process.kill()
            except psutil.Error:
                continue

    def poll(self) -> Ended | None:
        """None while it runs. Asking a child collects it: no zombie stays."""
        if self._child is not None:
            code = self._child.poll()
            return None if code is None else Ended(code)
        return None if self._alive() else Ended(None)

    def _alive(self) -> bool:
        try:
            process = self._process
            return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def terminate(self) -> None:
        """Ask it to end (SIGTERM); what it has started is its own business for now."""
        if self.poll() is None:
            try:
                os.kill(self.pid, signal.SIGTERM)
            except OSError:
                pass  # it has just ended

    def kill(self) -> None:
        """End it and all that is left of its session, at once."""
        for _ in range(_ROUNDS):
            left = list(self._all())
            for process in left:
                try:
                    process.kill()
                except psutil.Error:
                    pass  # it has just ended
            if not left:
                return

    def _all(self) -> Iterator[psutil.Process]:
        """The program, and everything in its session or group, also after its own end.

        The number of a session or group that has members is not given to a new process: what is in the session with
        our pid is ours, unless the pid is another's by now.
        """
        process = self._process
        if psutil.pid_exists(self.pid) and (process is None or not process.is_running()):
            return
        if process is not None and self.poll() is None:
            yield process
        if _WINDOWS:
            try:
                yield from process.children(recursive=True) if process else ()
            except psutil.Error:
                pass
            return
        for pid in psutil.pids():
            if pid != self.pid and _belongs(pid, self.pid):
                yield from _processes(pid)


def _apart() -> dict[str, Any]:
    """A session of its own, where there are sessions."""
    return {"creationflags": 0x200} if _WINDOWS else {"start_new_session": True}  # CREATE_NEW_PROCESS_GROUP


def _processes(pid: int) -> Iterator[psutil.Process]:
    """The process with this number, if there is one and it is more than a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            yield process
    except psutil.Error:
        pass


def _environ(process: psutil.Process) -> dict[str, str]:
    """The variables that it was started with; none where they cannot be seen."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _belongs(pid: int, leader: int) -> bool:
    try:
        return os.getsid(pid) == leader or os.getpgid(pid) == leader
    except (OSError, AttributeError):  # it is gone; or there are no sessions here (Windows)
        return False


def _leads(pid: int) -> bool:
    """Whether it is the program itself, and not one that the program has started and that has inherited its variables."""
    try:
        return _WINDOWS or os.getsid(pid) == pid
    except OSError:
        return False
