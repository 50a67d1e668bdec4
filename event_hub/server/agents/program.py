"""One running program: started in its own session, watched, and killed with every process that it has started."""

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
"""The variable that tells a program its id, and by which its processes are recognized."""
_SAME = 1.0
"""Tolerance in seconds when start times are compared, because clocks are corrected."""
_ROUNDS = 10
"""Rounds of killing: processes may fork while they are listed."""
_WINDOWS = os.name == "nt"
_LINUX = sys.platform == "linux"


class ProcessExit(NamedTuple):
    """A program has ended. `code`: its exit code, negative for a signal; None if an earlier hub started it."""

    code: int | None


class Program:
    """A program that is running or has run. `child` is None if an earlier hub started it."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self.created = 0.0
        self._process: psutil.Process | None = None
        self._child = child
        try:
            self._process = psutil.Process(pid)
            self.created = self._process.create_time()
        except (psutil.Error, ValueError):
            pass  # it has ended, and gevent has reaped it already

    @classmethod
    def start(cls, command: Sequence[str], environ: Mapping[str, str], log: LogFile) -> Program:
        """Start it; raises OSError.

        It gets its own session, so that it receives no Ctrl-C of ours and everything that it forks can be found; and it
        writes to a file, not a pipe, so that it outlives the hub.
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
        """The program of an agent that an earlier hub started; None if it is gone.

        The pid can belong to another process by now, so the process must have our variable; where its environment cannot
        be read (another user's, or overwritten by a program that sets its title) its start time must match. If the pid is
        unknown or does not match (the hub was killed, or its disk was full, before the pid was recorded), the variable
        finds the program; if a pid was recorded, other processes may have inherited the variable, so the command must
        match too.
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
        """Kill the processes that an ended program left behind, also outside its session: all that have its variable."""
        for _ in range(_ROUNDS):
            if not _kill([process for pid in psutil.pids() if _is_of(pid, agent) for process in _processes(pid)]):
                return

    def poll(self) -> ProcessExit | None:
        """None while it runs. Reaps a child, so that no zombie remains."""
        if self._child is not None:
            code = self._child.poll()
            return None if code is None else ProcessExit(code)
        return None if self._alive() else ProcessExit(None)

    def _alive(self) -> bool:
        try:
            process = self._process
            return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def terminate(self) -> None:
        """Ask it to end (SIGTERM). The processes that it has started are left to it for now."""
        if self.poll() is None:
            try:
                os.kill(self.pid, signal.SIGTERM)
            except OSError:
                pass  # it has just ended

    def kill(self) -> None:
        """Kill it and everything in its session."""
        for _ in range(_ROUNDS):
            left = list(self._all())
            if left and not _WINDOWS:
                # The whole group at once: a process that forks and exits all the time is gone before it can be killed.
                # (The group has members, so its id has not been reused.)
                try:
                    os.killpg(self.pid, signal.SIGKILL)
                except OSError:
                    pass
            if not _kill(left):
                return

    def _all(self) -> Iterator[psutil.Process]:
        """The program, and everything in its session or group, even after the program has ended.

        The id of a session or group with members is not reused: everything in the session with our pid is ours, unless
        the pid itself belongs to another process by now.
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
    """Kill each; whether there were any."""
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            pass  # it has just ended
    return bool(processes)


def _apart() -> dict[str, Any]:
    """Arguments for Popen: its own session, or on Windows its own process group."""
    return {"creationflags": 0x200} if _WINDOWS else {"start_new_session": True}  # CREATE_NEW_PROCESS_GROUP


def _processes(pid: int) -> Iterator[psutil.Process]:
    """The process with this pid, if it exists and is not a zombie."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            yield process
    except (psutil.Error, ValueError):
        pass


def _environ(process: psutil.Process) -> dict[str, str]:
    """The environment it was started with; empty if it cannot be read."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _is_of(pid: int, agent: str) -> bool:
    """Whether it has this agent's variable in its environment, by inheritance too."""
    if pid == os.getpid():
        return False
    try:
        if _LINUX:  # psutil would be slow over thousands of processes
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
    """Whether this is its command line, which may have a script's interpreter in front."""
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
    except (OSError, AttributeError):  # it is gone, or this is Windows
        return False


def _leads(pid: int) -> bool:
    """Whether it is the program itself, not a descendant with the same environment."""
    try:
        return _WINDOWS or os.getsid(pid) == pid
    except OSError:
        return False
