"""The client's small parts: addresses, backoff, the waker, error messages, event ids."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.client import Hub, HubError, NotAHub, Refused, Unreachable, subscribe
from event_hub.client.address import hub_url
from event_hub.client.backoff import MAX_REQUESTED, Backoff
from event_hub.client.event_ids import new_id
from event_hub.client.waker import Waker


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://localhost:5000", "http://localhost:5000"),
        ("localhost:5000", "http://localhost:5000"),
        (" https://hub.example.org/ ", "https://hub.example.org"),
        ("HTTPS://Hub.example.org/voice/", "https://Hub.example.org/voice"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("10.0.0.1", "http://10.0.0.1"),
    ],
)
def test_valid_urls(given: str, url: str) -> None:
    assert hub_url(given) == url


@pytest.mark.parametrize(
    "given",
    [
        "",
        "5000",
        ":5000",
        "ftp://localhost",
        "ws://localhost:5000",
        "http://",
        "http://localhost:fifty",
        "http://localhost:99999",
        "http://local host:5000",
        "http://localhost:5000/api/stream",
        "http://localhost:5000?room=demo",
        "http://localhost:5000/#top",
        "http://[::1",
        "localhost\n:5000",
    ],
)
def test_invalid_urls_are_refused_with_examples(given: str) -> None:
    for use in (hub_url, Hub, subscribe):
        with pytest.raises(ValueError, match="looks like http://localhost:5000"):
            use(given)


@pytest.mark.parametrize(
    "given", ["http://me:secret@hub.example.org", "secret@hub.example.org", "http://me:secret@hub:x"]
)
def test_a_password_in_a_url_is_refused_and_not_shown(given: str) -> None:
    with pytest.raises(ValueError) as caught:
        hub_url(given)
    assert "secret" not in str(caught.value)


def test_the_environment_provides_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUB_URL", raising=False)
    assert hub_url() == "http://localhost:5000"
    monkeypatch.setenv("HUB_URL", "")
    assert hub_url() == "http://localhost:5000"
    monkeypatch.setenv("HUB_URL", "hub.example.org:81")
    assert hub_url() == "http://hub.example.org:81"
    assert hub_url("localhost:1") == "http://localhost:1"


@pytest.mark.parametrize("last", ["7-1\r\nX-Evil: 1", "ü"])
def test_an_id_that_fits_no_header_is_refused(last: str) -> None:
    with pytest.raises(ValueError, match="last_event_id"):
        subscribe(last_event_id=last)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e9)), max_size=60))
def test_delays_double_up_to_the_limit_and_are_at_least_as_long_as_requested(requests: list[float | None]) -> None:
    backoff = Backoff(0.2, 10.0)
    for retries, requested in enumerate(requests):
        delay = backoff.next(requested)
        full = min(10.0, 0.2 * 2**retries)
        assert (
            max(full / 2, min(requested or 0, MAX_REQUESTED)) <= delay <= max(full, MAX_REQUESTED if requested else 0)
        )
    backoff.reset()
    assert backoff.next() <= 0.2


def test_a_waker_remembers_a_single_call() -> None:
    waker = Waker()
    assert not waker.wait(0)
    waker.wake()
    waker.wake()
    assert waker.wait(0)
    assert not waker.wait(0.001)
    other = threading.Thread(target=waker.wake)
    other.start()
    assert waker.wait(30)
    other.join()


def test_error_messages_say_what_to_do() -> None:
    gone = Unreachable("http://localhost:5000", "connection refused")
    assert str(gone) == (
        "No hub answers at http://localhost:5000 (connection refused): start one with `event-hub serve`, or set HUB_URL."
    )
    page = NotAHub("http://localhost:5000", 200, "text/html")
    assert "http://localhost:5000" in str(page) and "200" in str(page) and "text/html" in str(page)
    assert not page.again and NotAHub("http://localhost:5000", 502, "text/html").again
    problem = {"code": "bad_event", "detail": "text: is missing", "advice": "Correct it.", "field": "text", "index": 3}
    refused = Refused(422, problem)
    assert (refused.code, refused.field, refused.index, refused.retry, refused.again) == (
        "bad_event",
        "text",
        3,
        False,
        False,
    )
    assert str(refused) == "The hub refused the request (422 bad_event): text: is missing. Correct it."
    assert all(isinstance(error, HubError) for error in (gone, page, refused))


def test_a_malformed_problem_is_still_an_error() -> None:
    refused = Refused(503, {"code": 7, "detail": None, "index": True, "retry": "yes", "title": "Down"}, 2.0)
    assert (refused.code, refused.detail, refused.index, refused.retry, refused.again) == (
        "unknown",
        "Down",
        None,
        False,
        True,
    )


def test_ids_differ_even_if_the_program_seeds_random() -> None:
    ids = set()
    for _ in range(1000):
        random.seed(7)
        ids.add(new_id())
    assert len(ids) == 1000
    assert all(len(id) == 32 and int(id, 16) for id in ids)


def test_a_forked_child_is_seeded_again() -> None:
    script = (
        "import os; from event_hub.client.event_ids import _random; r, w = os.pipe(); pid = os.fork()\n"
        "if pid == 0: os.write(w, b'%d' % _random.getrandbits(64)); os._exit(0)\n"
        "os.waitpid(pid, 0); print(int(os.read(r, 99)) != _random.getrandbits(64))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"
