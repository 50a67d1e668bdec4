"""A real hub in its own process, and the low-level clients with which tests talk to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import requests
from prometheus_client.parser import text_string_to_metric_families

from event_hub.sse import Decoder, Message

from .ports import free_port as free_port

ROOT = Path(__file__).parents[1]
PATIENCE = 30.0
"""Seconds to wait for anything on a busy machine before a test fails."""

WERKZEUG = (
    "import flask_server as f, os; from werkzeug.serving import make_server; "
    "s = make_server('127.0.0.1', int(os.environ['PORT']), f.app, threaded=True); f.app.hub(); s.serve_forever()"
)
SERVERS: dict[str, tuple[list[str], dict[str, str]]] = {
    "gunicorn": (["flask_server.py"], {}),
    "gunicorn-generator": (["flask_server.py"], {"HUB_TAKEOVER": "0"}),
    "gevent": (["flask_server.py", "--server", "gevent"], {}),
    "werkzeug": (["-c", WERKZEUG], {}),
}


def until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Wait until `condition()` is true; returns its result."""
    end = time.monotonic() + patience
    pause = 0.005
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience:g} s without result for: {what}")
        time.sleep(pause)
        pause = min(0.05, pause * 1.3)


def _alive(process: psutil.Process, group: int) -> bool:
    """Whether the process is running and belongs to that process group. Zombies do not count: they hold no resources."""
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def members(group: int) -> list[psutil.Process]:
    """The running processes of a process group."""
    return [process for process in psutil.process_iter() if _alive(process, group)]


class HubProcess:
    """A hub, started the way users start it, in its own process group."""

    def __init__(
        self, folder: Path, *, server: str = "gunicorn", preexec: Callable[[], None] | None = None, **environ: str
    ) -> None:
        self.folder = folder
        self.port = int(environ.get("PORT") or free_port())
        self.arguments, own = SERVERS[server]
        self.cwd = ROOT
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith(("HUB_", "LIVEKIT_", "AGENT_", "OPENAI_", "PORT"))
        }
        defaults = {
            "HUB_HISTORY": "memory:",
            "HUB_AGENT_STATE": str(folder / "agents"),
            "HUB_RECORDINGS": str(folder / "recordings"),
        }
        self.environ = {**clean, **defaults, **own, **environ, "PORT": str(self.port)}
        self.log = folder / f"hub-{self.port}.log"
        self.preexec = preexec
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def launch(self) -> HubProcess:
        """Start it without waiting."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=self.cwd,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self.preexec,
            )
        return self

    def start(self) -> HubProcess:
        """Start it and wait until it serves requests."""
        self.launch()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"the hub has exited:\n{self.output()}"
            try:
                response = requests.get(f"{self.url}/api/health", timeout=PATIENCE)
            except requests.RequestException:
                return False
            assert response.status_code in (200, 503), f"{response.status_code}:\n{self.output()}"
            return True

        try:
            until(ready, "the hub to be ready", 3 * PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()}") from None

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """kill -9 the whole process group; returns once its processes have ended."""
        assert self.process is not None
        group = self.process.pid  # agents have their own groups, and keep running
        children: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(group).children()
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self.process.wait(PATIENCE)
        until(lambda: not any(_alive(child, group) for child in children), "its worker to end")

    def terminate(self) -> int:
        """Send SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            try:
                self.process.send_signal(signal.SIGTERM)
                self.process.wait(PATIENCE)
            finally:
                self.kill()

    def worker_pid(self) -> int:
        """The process that serves requests: gunicorn's only worker, or the process itself."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return int(children[0].pid) if children else self.process.pid

    def __enter__(self) -> HubProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is not None:
            print(self.output())

    # -- requests ------------------------------------------------------------------------------------------------------

    def post(self, event: Any, **options: Any) -> requests.Response:
        return requests.post(f"{self.url}/api/agent/data", json=event, timeout=PATIENCE, **options)

    def publish(self, event: Any) -> dict[str, Any]:
        """Post an event or a batch that must be accepted; returns the answer."""
        response = self.post(event)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def get(self, path: str, **options: Any) -> Any:
        response = requests.get(f"{self.url}{path}", timeout=PATIENCE, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics, by name and label values: `hub_subscribers{socket}`."""
        text = requests.get(f"{self.url}/metrics", timeout=PATIENCE).text
        return {
            sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def count(self) -> int:
        return int(self.get("/api/health")["subscribers"])

    def stream(self, query: str = "", **options: Any) -> Stream:
        return Stream(self.port, query, **options)

    def wait_count(self, number: int) -> None:
        until(lambda: self.count() == number, f"{number} subscribers")

    def subscribers(self) -> set[int]:
        """Their ids. On a hub shared by tests, a count is not enough: an earlier test's subscriber may still be leaving."""
        return {subscriber["id"] for subscriber in self.get("/api/subscribers", params={"limit": 1000})["subscribers"]}

    def newcomer(self, before: set[int]) -> set[int]:
        """Wait for a subscriber that is not in `before`."""
        new: set[int] = until(lambda: self.subscribers() - before, "the subscriber")
        return new

    def wait_gone(self, left: set[int]) -> None:
        until(lambda: not left & self.subscribers(), "the hub to notice that a subscriber left")


def raw(hub: HubProcess, data: bytes, *, finish: bool = False) -> bytes:
    """Send raw bytes; returns everything received until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(data)
            if finish:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        answer = b""
        try:
            while received := connection.recv(65536):
                answer += received
        except ConnectionResetError:
            pass
        return answer


class Stream:
    """A subscriber on a raw socket, which sees every byte and can read as slowly as a test needs."""

    def __init__(
        self,
        port: int,
        query: str = "",
        *,
        last_id: str | None = None,
        receive_buffer: int | None = None,
        read_head: bool = True,
        version: str = "1.1",
        headers: Sequence[str] = (),
        source: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = socket.socket()
        if source:
            self.socket.bind((source, 0))
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.bytes = b""
        """The body so far, without the chunked coding."""
        self.decoder = Decoder()
        self.pending: list[Message] = []
        self.ended = False
        self._raw = b""
        self._chunked = False
        try:
            self.socket.settimeout(PATIENCE)
            self.socket.connect(("127.0.0.1", port))
            if tls is not None:
                self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
            lines = [f"GET /api/stream{query} HTTP/{version}", f"Host: 127.0.0.1:{port}", "Accept: text/event-stream"]
            lines += headers
            if last_id is not None:
                lines.append(f"Last-Event-ID: {last_id}")
            self.socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            if read_head:
                self.read_head()
        except BaseException:
            self.socket.close()
            raise

    def read_head(self) -> None:
        while b"\r\n\r\n" not in self._raw:
            received = self.socket.recv(65536)
            assert received, f"connection closed within the response head: {self._raw!r}"
            self._raw += received
        head, _, self._raw = self._raw.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines)]
        self._chunked = ("transfer-encoding", "chunked") in self.headers
        self._take()

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def read(self, size: int = 65536) -> bool:
        """Receive once; False at the end of the stream."""
        try:
            received = self.socket.recv(size)
        except ConnectionResetError:
            received = b""
        if not received:
            self.ended = True
            return False
        self._raw += received
        self._take()
        return not self.ended

    def _take(self) -> None:
        if not self._chunked:
            body, self._raw = self._raw, b""
        else:
            body = b""
            while b"\r\n" in self._raw:
                size, _, rest = self._raw.partition(b"\r\n")
                length = int(size, 16)
                if len(rest) < length + 2:
                    break
                body += rest[:length]
                self._raw = rest[length + 2 :]
                if length == 0:
                    self.ended = True
                    break
        self.bytes += body
        self.pending.extend(self.decoder.feed(body))

    def next(self, patience: float = PATIENCE) -> dict[str, Any]:
        """The next event of any type, with its id as `_id`."""
        self.socket.settimeout(patience)
        while not self.pending:
            if not self.read() and not self.pending:
                raise EOFError
        message = self.pending.pop(0)
        event: dict[str, Any] = json.loads(message.data)
        event["_id"] = message.id
        return event

    def until(self, kind: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The next event of type `kind`, skipping others."""
        while True:
            event = self.next(patience)
            if event["type"] == kind:
                return event

    def rest(self) -> list[dict[str, Any]]:
        """All events until the stream ends."""
        return list(self.events())

    def events(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                yield self.next()
            except EOFError:
                return

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with an RST, as the system of a crashed peer does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
