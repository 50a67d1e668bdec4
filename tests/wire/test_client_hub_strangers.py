"""`Hub` on strange answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from event_hub.client import Hub, NotAHub, Refused, Unreachable, subscribe

from ..hubs import PATIENCE, free_port
from .strangers import OK, PAGE, Handler, Stranger, page, refuse, reply


def test_a_web_page_is_no_hub() -> None:
    with Stranger(page) as stranger, Hub(stranger.url) as hub:
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
def test_other_json_is_no_hub(body: bytes) -> None:
    with Stranger(lambda handler, _: reply(handler, 200, body)) as stranger, Hub(stranger.url) as hub:
        stranger.server.bare = True  # type: ignore[attr-defined]
        for use in (lambda: hub.post({"type": "test"}), lambda: hub.newest(1), hub.config, hub.health):
            with pytest.raises(NotAHub, match="not a hub's"):
                use()


def test_sent_on_it_says_where_to_and_does_not_go_there() -> None:
    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        reply(handler, 301, b"", Location="https://hub.example.org/x?key=1")

    there = pytest.raises(NotAHub, match=r"https://hub\.example\.org\)")
    with Stranger(answer) as stranger, Hub(stranger.url, key="secret") as hub, there:
        hub.post({"type": "test"})


def test_the_key_goes_along_and_netrc_does_not(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    seen: list[str | None] = []

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        seen.append(handler.headers["Authorization"])
        reply(handler, 200, OK)

    with Stranger(answer) as stranger:
        for key in ("hub-key", None):
            with Hub(stranger.url, key=key) as hub:
                hub.post({"type": "test"})
    assert seen == ["Bearer hub-key", None]


def test_patience_tries_again_what_may_succeed_later_with_the_same_ids() -> None:
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

    with Stranger(answer) as stranger, Hub(stranger.url) as hub:
        assert hub.post({"type": "test"}, patience=PATIENCE).accepted == 1
        assert len(stranger.posts) == 5
        assert len({post[0]["event_id"] for post in stranger.posts}) == 1


def test_patience_ends_and_does_not_begin_where_it_is_of_no_use() -> None:
    with Stranger(lambda handler, _: refuse(handler, 401, "unauthorized")) as stranger, Hub(stranger.url) as hub:
        with pytest.raises(Refused) as caught:
            hub.post({"type": "test"}, patience=PATIENCE)
        assert (caught.value.status, len(stranger.posts)) == (401, 1)
    with Stranger(lambda handler, _: refuse(handler, 503, "draining", retry=True, wait=60)) as stranger:
        with Hub(stranger.url) as hub, pytest.raises(Refused) as caught:
            hub.post({"type": "test"}, patience=2)
        assert (caught.value.retry, caught.value.retry_after, len(stranger.posts)) == (True, 60.0, 1)


def test_a_kept_connection_that_has_ended_is_replaced() -> None:
    """The server hangs up without a word instead of the second answer: what gunicorn does to an idle connection."""
    answered: list[int] = []

    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        answered.append(handler.client_address[1])
        if answered.count(answered[-1]) == 1:
            reply(handler, 200, OK)
        else:
            handler.close_connection = True

    with Stranger(answer) as stranger, Hub(stranger.url) as hub:
        assert hub.post({"type": "test"}).accepted == hub.post({"type": "test"}).accepted == 1
        assert len(stranger.posts) == 3


def test_nobody_there(stalled: str) -> None:
    with Hub(f"http://127.0.0.1:{free_port()}") as hub, pytest.raises(Unreachable, match="connection refused"):
        hub.post({"type": "test"})
    with Hub(stalled, timeout=0.2) as hub, pytest.raises(Unreachable, match="no answer in time"):
        hub.health()
    with Hub("http://no.such.host.invalid") as hub, pytest.raises(Unreachable, match="not known"):
        hub.health()


def test_an_answer_that_breaks_off() -> None:
    def answer(handler: Handler, _: list[dict[str, Any]]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(OK)))
        handler.end_headers()
        handler.wfile.write(OK[:20])
        handler.close_connection = True

    with Stranger(answer) as stranger, Hub(stranger.url) as hub, pytest.raises(Unreachable, match="broke"):
        hub.post({"type": "test"})
