"""Webhook receivers for the forwarding tests: real HTTP servers that check every signature and can be made to misbehave."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from standardwebhooks.webhooks import Webhook

from ..hubs import HubProcess, until

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""A self-signed certificate for localhost, with its key. No client trusts it, so it need not be secret."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"


class Delivery(NamedTuple):
    """One request: its time (monotonic), path, headers, body, and the status it was answered with (0: no answer)."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [{**item["event"], "_id": item["id"]} for item in json.loads(self.body)["data"]["events"]]


class Receiver:
    """Answers 204 unless `answers` has something for the next request: a status, `chunked` (200), `close`, `reset`, or a
    tuple of status and headers."""

    def __init__(self, port: int = 0, certificate: Path | None = None) -> None:
        self.deliveries: list[Delivery] = []
        self.answers: list[Any] = []
        self.default_answer: Any = 204
        self.connections = 0
        self.bad_signatures: list[str] = []
        self.max_body = 10**9
        """Maximum size of a body in bytes; a larger one is answered with 413."""
        self.delay = 0.0
        """Delay before each answer, in seconds."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def do_POST(self) -> None:
                outer.handle(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a hub killed in mid-request is expected
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.port = self.server.server_port
        self.url = f"{scheme}://localhost:{self.port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers["Content-Length"])
        body = request.rfile.read(length)
        if len(body) < length:  # the hub was killed in mid-request
            request.close_connection = True
            return
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            Webhook(SECRET).verify(body, headers)
        except Exception as error:
            self.bad_signatures.append(repr(error))
        time.sleep(self.delay)
        answer = self.answers.pop(0) if self.answers else self.default_answer
        status, more = answer if isinstance(answer, tuple) else (answer, {})
        if len(body) > self.max_body:
            status = 413
        number = status if isinstance(status, int) else 200 if status == "chunked" else 0
        self.deliveries.append(Delivery(time.monotonic(), request.path, headers, body, number))
        if status == "reset":
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(request.connection.detach())
        if status in ("close", "reset"):
            request.close_connection = True
            return
        if status == "chunked":
            request.send_response(200)
            request.send_header("Transfer-Encoding", "chunked")
            request.end_headers()
            request.wfile.write(b"4\r\ndone\r\n0\r\n\r\n")
            return
        request.send_response(status)
        for name, value in more.items():
            request.send_header(name, value)
        if status != 204:
            request.send_header("Content-Length", "5")
        request.end_headers()
        if status != 204:
            request.wfile.write(b"done\n")

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """The events of all requests answered with 2xx, in order."""
        return [event for delivery in self.deliveries if 200 <= delivery.status < 300 for event in delivery.events]

    @property
    def numbers(self) -> list[Any]:
        return [event.get("n", event["type"]) for event in self.accepted]

    def wait(self, numbers: list[Any]) -> None:
        until(lambda: len(self.numbers) >= len(numbers), f"{len(numbers)} events, not {len(self.numbers)}")
        assert self.numbers == numbers

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@contextmanager
def receiver(port: int = 0, certificate: Path | None = None) -> Iterator[Receiver]:
    """Run a receiver; at the end, every signature must have been valid."""
    running = Receiver(port, certificate)
    try:
        yield running
    finally:
        running.stop()
    assert running.bad_signatures == []


def forwards(hub: HubProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = hub.get("/api/health")["forwards"]
    return found


def settled(hub: HubProcess) -> None:
    """Wait until every target has all events."""
    until(lambda: all((target["lag"], target["state"]) == (0, "ok") for target in forwards(hub)), "all to be forwarded")


def lines(path: Path) -> list[dict[str, Any]]:
    """The events in a file of JSON lines, read once its last line is complete."""
    text = ""

    def whole() -> bool:
        nonlocal text
        try:
            text = path.read_text()
        except FileNotFoundError:  # it is being rotated, or does not exist yet
            text = ""
        except UnicodeDecodeError:  # it ends within a character
            return False
        return text == "" or text.endswith("\n")

    until(whole, f"the last line of {path.name} to be complete")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def rotated(path: Path) -> list[Path]:
    """The rotated files, oldest first, then the file itself."""
    return [*sorted(path.parent.glob(f"{path.stem}-*{path.suffix}")), path]
