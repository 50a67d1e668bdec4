"""Servers that are not a hub, or that behave as a real hub cannot be made to."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

from ..hubs import PATIENCE

Handler = http.server.BaseHTTPRequestHandler
OK = b'{"status":"ok","accepted":1,"duplicates":0,"clients_notified":0,"first_id":"e-1","last_id":"e-1"}'
CONFIG = b'{"epoch":"e","heartbeat":15,"limits":{"event":65536,"body":8388608,"batch":10000}}'
OPENED = b'retry: 10\nid: e-0\ndata: {"type":"stream_opened","cursor":"e-0"}\n\n'
PAGE = b"<!doctype html><title>Welcome to the printer</title>"


def reply(handler: Handler, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def refuse(handler: Handler, status: int, code: str, **more: Any) -> None:
    headers = {"Retry_After": str(more.pop("wait"))} if "wait" in more else {}
    problem = {"code": code, "detail": f"this is {code}", "advice": "Do better.", "status": status, **more}
    reply(handler, status, json.dumps(problem).encode(), "application/problem+json", **headers)


class FakeServer:
    """A server that calls `answer` with each request and the events in its body."""

    def __init__(self, answer: Callable[[Handler, list[dict[str, Any]]], None], port: int = 0) -> None:
        self.posts: list[list[dict[str, Any]]] = []
        stranger = self

        class Answer(Handler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/api/config" and not self.server.bare:  # type: ignore[attr-defined]
                    reply(self, 200, CONFIG)
                else:
                    answer(self, [])

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events = [json.loads(line) for line in body.splitlines()]
                stranger.posts.append(events)
                answer(self, events)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.server.bare = False  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(PATIENCE)

    def taken(self) -> list[Any]:
        """The `n` of every posted event, in order, repeats included."""
        return [event.get("n") for post in self.posts for event in post]


def page(handler: Handler, _: list[dict[str, Any]]) -> None:
    reply(handler, 200, PAGE, "text/html; charset=utf-8")
