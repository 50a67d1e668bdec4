"""Forwarding to faulty or hostile receivers, hosts and environments: the hub stays healthy and leaks no secrets (H35)."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from event_hub.server.forward.sink import Batch, DeliveryFailed, Item
from event_hub.server.forward.targets import parse
from event_hub.server.forward.webhook import Webhook
from event_hub.sse import Cursor

from ..hubs import PATIENCE, HubProcess, until
from .receivers import CERTIFICATE, forwards, lines, receiver, rotated, settled

Forwarder = Callable[..., HubProcess]
Talk = Callable[[socket.socket], None]


@contextlib.contextmanager
def answering(talk: Talk) -> Iterator[int]:
    """Run a server that reads a request and then hands the connection to `talk`; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        take_request(connection)
                        talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def take_request(connection: socket.socket) -> None:
    """Read all of it: closing with unread data resets the connection, and the answer may be lost."""
    data = b""
    while b"\r\n\r\n" not in data and (received := connection.recv(65536)):
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0 and (received := connection.recv(65536)):
        missing -= len(received)


def says(*answer: bytes) -> Talk:
    return lambda connection: connection.sendall(b"\r\n".join([*answer, b"", b""]))


def never_ends(*head: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        says(*head)(connection)
        while True:
            connection.sendall(b"x" * 65536)

    return talk


@pytest.mark.parametrize("head", [b"HTTP/1.1 302 Found\r\nLocation: /x", b"HTTP/1.1 500 No", b"HTTP/1.1 200 OK"])
def test_an_endless_answer_costs_neither_memory_nor_time(forwarder: Forwarder, head: bytes) -> None:
    """Whatever its status, the hub does not read the body."""
    with answering(never_ends(head)) as port:
        hub = forwarder(f"http://127.0.0.1:{port}/").start()
        worker = psutil.Process(hub.worker_pid())
        before = worker.memory_info().rss
        began = time.monotonic()
        hub.publish({"type": "n"})
        until(lambda: hub.get("/api/health")["forwards"][0]["lag"] == 0 or "error" in forwards(hub)[0], "an answer")
        assert time.monotonic() - began < 10
        hub.publish({"type": "n"})
        assert worker.memory_info().rss - before < 50_000_000
        if b"302" in head:
            assert "it answers 302, a redirect, which is not followed" in forwards(hub)[0]["error"]
        hub.stop()


def test_cookies_and_netrc_are_not_used(forwarder: Forwarder, tmp_path: Path) -> None:
    """Cookies would be sent back with each request and pile up; the only credentials are those in the URL."""
    (tmp_path / ".netrc").write_text("machine localhost login other password other\n")
    with receiver() as target:
        target.default_answer = (200, {"Set-Cookie": "a=1; Path=/"})
        url = target.url.replace("http://", "http://us%C3%BCr:p%E2%82%AC@")
        hub = forwarder(target.url, url, HOME=str(tmp_path)).start()
        for n in range(3):
            hub.publish({"type": "n", "n": n})
            until(lambda n=n: len(target.deliveries) == 2 * n + 2, "both")
        assert not any("cookie" in delivery.headers for delivery in target.deliveries)
        given = {delivery.headers.get("authorization") for delivery in target.deliveries}
        assert given == {None, "Basic dXPDvHI6cOKCrA=="}  # usür:p€


def test_a_proxy_is_used_except_for_this_machine(forwarder: Forwarder) -> None:
    """If the proxy refuses a request, the error names the proxy."""
    with receiver() as target, answering(says(b"HTTP/1.1 403 No")) as port:
        proxy = f"http://user:hush@127.0.0.1:{port}"
        hub = forwarder(
            target.url, "https://a.example/hook", HTTP_PROXY=proxy, HTTPS_PROXY=proxy, NO_PROXY="", no_proxy=""
        ).start()
        hub.publish({"type": "n", "n": 0})
        target.wait([0])
        until(lambda: forwards(hub)[1]["state"] == "retrying", "the other to fail")
        assert "the proxy from the environment" in forwards(hub)[1]["error"]
        assert "hush" not in hub.output()
        hub.stop()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"hello there", "its response is not valid HTTP"),
        (b"HTTP/1.1 200 OK" + b"\r\nX: y" * 2000, "its response is not valid HTTP"),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: https://[x\x1b[31m" + b"x" * 900,
            "it answers 301, a redirect, which is not",
        ),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://a\x1b[31m/", "it answers 301, a redirect, which is not"),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://b.example/?hush", "a redirect to https://b.example, which is not"),
        (b"HTTP/1.1 503 No\r\nRetry-After: \xff\x01 soon", "it answers 503 Service Unavailable"),
        (b"HTTP/1.1 400 No\r\nBad Header\r\n: y", "it answers 400 Bad Request"),
    ],
)
def test_malformed_answers_are_reported_briefly(answer: bytes, message: str, caplog: pytest.LogCaptureFixture) -> None:
    """The error is short and printable, and neither it nor any log contains the secret part of the URL."""
    caplog.set_level(logging.DEBUG)
    with answering(says(answer)) as port:
        (target,) = parse(f"http://127.0.0.1:{port}/hook?token=hush")
        sink = Webhook(target, (b"k" * 32,))
        item = Item(Cursor("a", 1), b"{}")
        with pytest.raises(DeliveryFailed) as caught:
            sink.send(Batch((item,), item.cursor, 0.0))
        sink.close()
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()
    assert "hush" not in caplog.text + str(caught.value)


def test_an_unreadable_ca_bundle_is_reported(forwarder: Forwarder, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    with receiver(certificate=CERTIFICATE) as target:
        hub = forwarder(target.url, REQUESTS_CA_BUNDLE=str(bundle))
        for text in ("", "none"):
            if text:
                bundle.write_text(text)
            hub.start()
            hub.publish({"type": "n"})
            until(lambda: forwards(hub)[0]["state"] == "retrying", "it to fail")
            assert "REQUESTS_CA_BUNDLE cannot be read" in forwards(hub)[0]["error"]
            hub.stop()


def test_a_deleted_state_folder_is_created_again(forwarder: Forwarder, tmp_path: Path) -> None:
    """With the current checkpoint, and still locked against a second hub."""
    out, folder = tmp_path / "events.jsonl", tmp_path / "forward"
    hub = forwarder(f"file:{out}").start()
    hub.publish({"type": "n", "n": 0})
    until(out.exists, "the first event")
    settled(hub)
    shutil.rmtree(folder)
    hub.publish({"type": "n", "n": 1})
    until(lambda: list(folder.glob("*.json")), "the checkpoint")
    settled(hub)
    second = forwarder(f"file:{out}", HUB_HISTORY="memory:").start()
    until(lambda: "another hub" in forwards(second)[0].get("error", ""), "the second hub to be locked out")
    assert [event["n"] for event in lines(out)] == [0, 1]


def test_rotated_files_sort_even_if_the_clock_was_set_back(forwarder: Forwarder, tmp_path: Path) -> None:
    """A file rotated now sorts after one from when the clock was ahead, so `keep` does not delete it first."""
    out = tmp_path / "out" / "events.jsonl"
    out.parent.mkdir()
    for n in range(2):
        (out.parent / f"events-20990101T00000{n}Z-aaaaaaaa-00000000000{n}.jsonl").write_text(f'{{"n":-{n}}}\n')
    hub = forwarder(f"file:{out}#rotate=1000&keep=3").start()
    hub.publish([{"type": "n", "n": n, "pad": "x" * 400} for n in range(8)])
    settled(hub)
    until(lambda: [event["n"] for event in lines(out)][-1:] == [7], "the last event")
    assert [event["n"] for path in rotated(out) for event in lines(path)] == list(range(8))


@pytest.mark.slow
def test_unresponsive_name_servers_do_not_hold_up_the_hub(forwarder: Forwarder, tmp_path: Path) -> None:
    """With twenty hosts whose look-ups hang, retention still works and the hub shuts down in time."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import _socket, time\nlook_up, sleep = _socket.getaddrinfo, time.sleep\n"
        "def slowly(host, *more, **named):\n    b'silent' in (host if isinstance(host, bytes) else str(host).encode()) "
        "and sleep(60)\n    return look_up(host, *more, **named)\n"
        "_socket.getaddrinfo = slowly\n"
    )
    urls = [f"http://silent{n}.example/" for n in range(20)]
    hub = forwarder(
        *urls, PYTHONPATH=str(site), HUB_HISTORY=f"sqlite:///{tmp_path}/hub.db", HUB_RETENTION="300KB"
    ).start()
    for _ in range(14):
        hub.publish([{"type": "n", "pad": "x" * 500} for _ in range(400)])
        time.sleep(0.5)  # the history's thread is first needed after five seconds
    until(lambda: hub.get("/api/health")["history"]["events"] < 1000, "retention")
    began = time.monotonic()
    assert hub.terminate() == 0
    assert time.monotonic() - began < 20  # a look-up takes sixty


def test_a_full_file_that_cannot_be_rotated_still_gets_whole_batches(tmp_path: Path) -> None:
    """It grows beyond its limit, but not one event at a time."""
    from event_hub.server.forward.checkpoint import FileState
    from event_hub.server.forward.jsonl import JSONLines

    states: list[Any] = []
    (target,) = parse(f"file:{tmp_path}/x.jsonl#rotate=2000")
    assert JSONLines(target, FileState(1, 2000, ""), states.append).limits() == (250, 2000)
    assert JSONLines(target, FileState(1, 1500, ""), states.append).limits() == (250, 500)
