"""One running program: started in a session of its own, watched, ended with all that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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
_LINUX = sys.platform == "linux"


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
        except (psutil.Error, ValueError):
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
    def find(cls, agent: str, command: Sequence[str], pid: int | None, created: float) -> Program | None:
        """The program of an agent that an earlier hub has started; None: it is gone.

        A pid may be another's by now, so the variable that we gave it must be there; where that cannot be seen (another
        user's, or a program that writes its title over it) the time of birth must fit. Where the pid is not known, or
        does not fit (the hub was killed, or its disk was full, between starting it and writing that down), the variable
        finds it; a pid that was known and is gone may have left others with that variable, so the command must fit, too.
        """
        if pid is not None:
            for process in _processes(pid):
                environ = _environ(process)
                seen = "PATH" in environ or ID in environ
                if environ.get(ID) == agent and _leads(pid) if seen else _born(process, created):
                    return cls(pid)
        for other in psutil.pids():
            if _is_of(other, agent) and _leads(other):
                for process in _processes(other):
                    if pid is None or _runs(process, command):
                        return cls(other)
        return None

    @staticmethod
    def sweep(agent: str) -> None:
        """End what an agent whose program is over has left behind, also outside of its session: whatever has its
        variable."""
        for _ in range(_ROUNDS):
            if not _kill([process for pid in psutil.pids() if _is_of(pid, agent) for process in _processes(pid)]):
                return

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
            if left and not _WINDOWS:
                # At once for the whole group: what forks and ends all the time is never there when it is looked at.
                # (The group has members, so its number is ours.)
                try:
                    os.killpg(self.pid, signal.SIGKILL)
                except OSError:
                    pass
            if not _kill(left):
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


def _kill(processes: list[psutil.Process]) -> bool:
    """Kill each; whether there was one."""
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            pass  # it has just ended
    return bool(processes)


def _apart() -> dict[str, Any]:
    """A session of its own, where there are sessions."""
    return {"creationflags": 0x200} if _WINDOWS else {"start_new_session": True}  # CREATE_NEW_PROCESS_GROUP


def _processes(pid: int) -> Iterator[psutil.Process]:
    """The process with this number, if there is one and it is more than a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            yield process
    except (psutil.Error, ValueError):
        pass


def _environ(process: psutil.Process) -> dict[str, str]:
    """The variables that it was started with; none where they cannot be seen."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _is_of(pid: int, agent: str) -> bool:
    """Whether it was started with this agent's variable, by the program or by whatever that has started."""
    if pid == os.getpid():
        return False
    try:
        if _LINUX:  # there are thousands of processes, and psutil takes its time over each
            with open(f"/proc/{pid}/environ", "rb") as file:
                return f"{ID}={agent}".encode() in file.read().split(b"\0")
        return psutil.Process(pid).environ().get(ID) == agent
    except (psutil.Error, OSError):
        return False


def _born(process: psutil.Process, when: float) -> bool:
    try:
        return bool(abs(process.create_time() - when) < _SAME)
    except psutil.Error:
        return False


def _runs(process: psutil.Process, command: Sequence[str]) -> bool:
    """Whether it was started by this command line; the interpreter of a script stands before it."""
    try:
        words = process.cmdline()
    except (psutil.Error, OSError):
        return False
    count = len(command) - 1
    if count:
        return words[-count:] == list(command[1:])
    return os.path.basename(command[0]) in map(os.path.basename, words[:2])


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
