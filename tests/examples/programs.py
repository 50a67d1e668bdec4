"""Runs samples as programs, each in its own process group that ends with the test, and servers for them to talk to."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from ..hubs import PATIENCE, until

BUILD = 300
"""Maximum seconds for a build tool on a busy machine; tests that build have `pytest.mark.timeout(2 * BUILD)`."""


class Program:
    """A running program and its output."""

    def __init__(self, command: Sequence[str | Path], out: Path, *, cwd: Path, env: dict[str, str]) -> None:
        self.out, self.err = out, out.with_name(f"{out.name}.err")
        with out.open("wb") as file, self.err.open("wb") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=errors,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.out.read_text(errors="replace")

    def errors(self) -> str:
        return self.err.read_text(errors="replace")

    def tail(self) -> str:
        """The end of both outputs, for error messages."""
        return "\n".join(line[:200] for line in (self.text() + self.errors()).splitlines()[-30:])

    def events(self) -> list[dict[str, Any]]:
        """The events printed as lines of `<id> <event>`; each event has its id as `_id`."""
        pairs = [line.split(" ", 1) for line in self.text().split("\n")[:-1]]
        return [{**json.loads(event), "_id": id} for id, event in pairs]

    def wait_events(self, number: int) -> list[dict[str, Any]]:
        until(lambda: self.out.read_bytes().count(b"\n") >= number, f"{number} events\n{self.tail()}")
        return self.events()

    def wait_answer(self, url: str) -> None:
        def answers() -> bool:
            assert self.process.poll() is None, self.tail()
            try:
                return requests.get(url, timeout=BUILD).status_code < 500
            except requests.RequestException:
                return False

        until(answers, f"{url} to answer\n{self.tail()}", BUILD)

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)


@contextmanager
def running(command: Sequence[str | Path], out: Path, *, cwd: Path, env: dict[str, str]) -> Iterator[Program]:
    program = Program(command, out, cwd=cwd, env=env)
    try:
        yield program
    except BaseException:
        print(program.tail())
        raise
    finally:
        for number in (signal.SIGCONT, signal.SIGTERM):
            try:
                program.signal(number)
            except ProcessLookupError:
                break
        try:
            program.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        try:
            program.signal(signal.SIGKILL)  # and the rest of its process group
        except ProcessLookupError:
            pass
        program.process.wait(PATIENCE)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A browser that disconnects is not an error."""


@contextmanager
def _serving(handler: Callable[..., socketserver.BaseRequestHandler], port: int = 0) -> Iterator[int]:
    def bound() -> _Server | None:
        try:
            return _Server(("127.0.0.1", port), handler)  # type: ignore[arg-type]
        except OSError:  # a killed hub may hold the port a moment longer
            return None

    server = until(bound, f"port {port} to be free")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run a static file server like `python -m http.server`; yields its address."""
    with _serving(partial(_Quiet, directory=str(folder))) as port:
        yield f"http://localhost:{port}"


@contextmanager
def unavailable(port: int) -> Iterator[list[dict[str, str]]]:
    """Answer 503 on the hub's port while the hub is down, like a proxy; yields the list of requests received."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            body = b'{"detail":"The hub is being deployed."}'
            self.send_response(503)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler, port):
        yield seen


@contextmanager
def built(name: str, script: str) -> Iterator[Path]:
    """A copy of a sample as after `npm install && npm run build`; `script` is the path of its build tool in the copy."""
    from ..toolchain import tool
    from .packages import copied, environment

    with copied(name) as folder:
        command = [tool("node"), script, "build"]
        done = subprocess.run(
            command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=BUILD, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield folder
