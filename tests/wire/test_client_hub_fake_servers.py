"""`Hub` with servers that are not hubs, and with odd responses."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from event_hub.client import Hub, NotAHub, Refused, Unreachable, subscribe

from ..hubs import PATIENCE, free_port
from .fake_servers import OK, PAGE, FakeServer, Handler, page, refuse, reply
from .receivers import CERTIFICATE


def test_a_web_page_is_not_a_hub() -> None:
    with FakeServer(page) as stranger, Hub(stranger.url) as hub:
        stranger.server.bare = True  # type: ignore[attr-defined]
        uses: list[Callable[[], object]] = [
            lambda: hub.post({"type": "test"}),
            lambda: list(hub.events()),
            lambda: hub.newest(3),
            hub.config,
            hub.health,
            lambda: next(subscribe(stranger.url)),
        ]
        for use in uses:
            with pytest.raises(NotAHub) as caught:
                use()
            error = caught.value
            assert (error.url, error.status, error.content_type, error.again) == (stranger.url, 200, "text/html", False)
            assert stranger.url in str(error) and "text/html" in str(error) and "printer" not in str(error)


@pytest.mark.parametrize("body", [b'{"hello":1}', b"[]", b"7", b'{"events":', b"\xff", b"[" * 5000])
def test_other_json_is_not_a_hub(body: bytes) -> None:
    with FakeServer(lambda handler, _: reply(handler, 200, body)) as stranger, Hub(stranger.url) as hub:
        stranger.server.bare = True  # type: ignore[attr-defined]
        for use in (lambda: hub.post({"type": "test"}), lambda: hub.newest(1), hub.config, hub.health):
            with pytest.raises(NotAHub, match="not a hub's"):
                use()


def test_a_redirect_is_reported_and_not_followed() -> None:
    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        reply(handler, 301, b"", Location="https://hub.example.org/x?key=1")

    redirected = pytest.raises(NotAHub, match=r"https://hub\.example\.org\)")
    with FakeServer(answer) as stranger, Hub(stranger.url, key="secret") as hub, redirected:
        hub.post({"type": "test"})


def test_the_key_is_sent_and_netrc_is_not(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    seen: list[str | None] = []

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        seen.append(handler.headers["Authorization"])
        reply(handler, 200, OK)

    with FakeServer(answer) as stranger:
        for key in ("hub-key", None):
            with Hub(stranger.url, key=key) as hub:
                hub.post({"type": "test"})
    assert seen == ["Bearer hub-key", None]


def test_patience_retries_with_the_same_ids() -> None:
    refusals = [
        lambda h: refuse(h, 503, "draining", retry=True, wait=0),
        lambda h: reply(h, 502, PAGE, "text/html"),
        lambda h: reply(h, 429, PAGE, "text/html", Retry_After="0"),
        lambda h: refuse(h, 500, "internal"),
    ]

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        if refusals:
            refusals.pop(0)(handler)
        else:
            reply(handler, 200, OK)

    with FakeServer(answer) as stranger, Hub(stranger.url) as hub:
        assert hub.post({"type": "test"}, patience=PATIENCE).accepted == 1
        assert len(stranger.posts) == 5
        assert len({post[0]["event_id"] for post in stranger.posts}) == 1


def test_patience_is_limited_and_does_not_retry_in_vain() -> None:
    with FakeServer(lambda handler, _: refuse(handler, 401, "unauthorized")) as stranger, Hub(stranger.url) as hub:
        with pytest.raises(Refused) as caught:
            hub.post({"type": "test"}, patience=PATIENCE)
        assert (caught.value.status, len(stranger.posts)) == (401, 1)
    with FakeServer(lambda handler, _: refuse(handler, 503, "draining", retry=True, wait=60)) as stranger:
        with Hub(stranger.url) as hub, pytest.raises(Refused) as caught:
            hub.post({"type": "test"}, patience=2)
        assert (caught.value.retry, caught.value.retry_after, len(stranger.posts)) == (True, 60.0, 1)


def test_a_closed_persistent_connection_is_replaced() -> None:
    """The server closes the connection instead of sending a second response, as gunicorn does when idle."""
    answered: list[int] = []

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        answered.append(handler.client_address[1])
        if answered.count(answered[-1]) == 1:
            reply(handler, 200, OK)
        else:
            handler.close_connection = True

    with FakeServer(answer) as stranger, Hub(stranger.url) as hub:
        assert hub.post({"type": "test"}).accepted == hub.post({"type": "test"}).accepted == 1
        assert len(stranger.posts) == 3


def test_no_hub_answers(stalled: str) -> None:
    with Hub(f"http://127.0.0.1:{free_port()}") as hub, pytest.raises(Unreachable, match="connection refused"):
        hub.post({"type": "test"})
    with Hub(stalled, timeout=0.2) as hub, pytest.raises(Unreachable, match="no response in time"):
        hub.health()
    with Hub("http://no.such.host.invalid") as hub, pytest.raises(Unreachable, match="unknown host name"):
        hub.health()


def test_tls_errors_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A certificate of an unknown authority, for another host, no TLS at all, and an unusable REQUESTS_CA_BUNDLE."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")

    def post(url: str) -> int:
        with Hub(url) as hub:
            return hub.post({"type": "test"}).accepted

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        reply(handler, 200, OK)

    with FakeServer(answer) as plain, FakeServer(answer) as stranger:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        stranger.server.socket = context.wrap_socket(stranger.server.socket, server_side=True)
        url = f"https://localhost:{stranger.server.server_port}"
        with pytest.raises(Unreachable, match="not valid: self-signed certificate.*set REQUESTS_CA_BUNDLE to its PEM"):
            post(url)
        with pytest.raises(Unreachable, match="does not use TLS.*try http://"):
            post(plain.url.replace("http:", "https:"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
        assert post(url) == 1
        with pytest.raises(Unreachable, match="not valid for '0.0.0.0'.*use a host name that the certificate is for"):
            post(url.replace("localhost", "0.0.0.0"))
        (tmp_path / "empty.pem").touch()
        for bundle in ("empty.pem", "missing.pem"):
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / bundle))
            with pytest.raises(Unreachable, match="REQUESTS_CA_BUNDLE cannot be read"):
                post(url)


def test_a_response_that_is_cut_off() -> None:
    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(OK)))
        handler.end_headers()
        handler.wfile.write(OK[:20])
        handler.close_connection = True

    with FakeServer(answer) as stranger, Hub(stranger.url) as hub, pytest.raises(Unreachable, match="broke"):
        hub.post({"type": "test"})
