"""One client cannot use up the patterns that all clients may watch."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.server.access.limits import Limits, Seat
from event_hub.server.access.principal import LOCAL, Grant, Principal
from event_hub.server.errors import RequestError
from event_hub.server.filters import Filter, Scope
from event_hub.server.settings import Settings

ADA, BO = (Principal("key", name, Grant(), key=name) for name in ("ada", "bo"))


def limits(most: int, **environ: str) -> Limits:
    return Limits(Settings.load({"HUB_MAX_GLOBS": str(most), **environ}, None))


def came(address: str, **headers: str) -> dict[str, Any]:
    return {"REMOTE_ADDR": address, "PATH_INFO": "/api/stream", "REQUEST_METHOD": "GET", **headers}


def filters(count: int, prefix: str = "r") -> list[Filter]:
    return [Filter.of([f"{prefix}{n}*"]) for n in range(count)]


def refused(limited: Limits, environ: dict[str, Any], principal: Principal, filter: Filter) -> str:
    with pytest.raises(RequestError) as caught:
        limited.stream(environ, principal, filter)
    assert caught.value.kind.code == "too_many_filters"
    return caught.value.detail


def test_one_address_takes_a_quarter_and_others_do_not_notice() -> None:
    limited = limits(1000)
    for filter in filters(250):
        limited.stream(came("192.0.2.1"), LOCAL, filter)
    detail = refused(limited, came("192.0.2.1"), LOCAL, Filter.of(["one-more*"]))
    assert detail == (
        "192.0.2.1 may watch 250 different patterns with *, a quarter of HUB_MAX_GLOBS; close one of its streams, or use "
        "exact names"
    )
    refused(limited, came("::ffff:192.0.2.1"), LOCAL, Filter.of(["one-more*"]))
    limited.stream(came("192.0.2.1"), LOCAL, Filter.of(["r7*"]))  # known
    limited.stream(came("192.0.2.1"), LOCAL, Filter.of(["exact"]))
    limited.stream(came("192.0.2.2"), LOCAL, Filter.of(["one-more*"]))


def test_one_filter_with_many_patterns_counts_them_all() -> None:
    limited = limits(100)
    refused(limited, came("192.0.2.1"), LOCAL, Filter.of([f"r{n}*" for n in range(26)]))
    limited.stream(came("192.0.2.1"), LOCAL, Filter.of([f"r{n}*" for n in range(25)]))


def test_a_credential_cannot_take_more_by_using_many_addresses() -> None:
    limited = limits(40)
    for n, filter in enumerate(filters(10)):
        limited.stream(came(f"192.0.2.{n}"), ADA, filter)
    assert refused(limited, came("192.0.2.99"), ADA, Filter.of(["x*"])).startswith("ada may watch 10")
    limited.stream(came("192.0.2.99"), BO, Filter.of(["x*"]))


def test_behind_a_named_proxy_each_client_has_its_own_share() -> None:
    limited = limits(8, HUB_PROXIES="10.0.0.1")
    for client in ("203.0.113.1", "203.0.113.2"):
        environ = came("10.0.0.1", HTTP_X_FORWARDED_FOR=client)
        for filter in filters(2, client):
            limited.stream(environ, LOCAL, filter)
        refused(limited, environ, LOCAL, Filter.of(["x*"]))


def test_all_of_them_together_are_limited_too() -> None:
    limited = limits(8)
    for n in range(4):
        for filter in filters(2, f"{n}-"):
            limited.stream(came(f"192.0.2.{n}"), LOCAL, filter)
    assert "8 different patterns" in refused(limited, came("192.0.2.9"), LOCAL, Filter.of(["x*"]))
    limited.stream(came("192.0.2.9"), LOCAL, Filter.of(["0-0*"]))  # its events are found anyway


def test_a_key_for_a_pattern_of_rooms_may_watch_as_many_rooms_as_it_likes() -> None:
    """Each of its streams has the pattern of its scope, but the index finds the events of an exact room."""
    limited = limits(4)
    scope = Scope(globs=("support-*",))
    for n in range(100):
        limited.stream(came("192.0.2.1"), ADA, Filter.of([f"support-{n}"]).narrowed(scope))
    assert limited.patterns.counts() == {}
    limited.stream(came("192.0.2.1"), ADA, Filter().narrowed(scope))
    assert limited.patterns.counts()[""] == 1


def test_what_a_refused_stream_had_taken_is_given_back() -> None:
    limited = limits(100, HUB_ADDRESS_SUBSCRIBERS="1")
    first = limited.stream(came("192.0.2.1"), LOCAL, Filter.of(["a*"]))
    for n in range(50):
        with pytest.raises(RequestError) as caught:
            limited.stream(came("192.0.2.1"), LOCAL, Filter.of([f"{n}*"]))
        assert caught.value.kind.code == "too_many_streams"
    assert limited.patterns.counts() == {"": 1, "address 192.0.2.1": 1}
    first.release()
    first.release()
    assert limited.patterns.counts() == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans()), max_size=60))
def test_the_counts_are_exact_after_any_order(steps: list[tuple[int, int, bool]]) -> None:
    limited = limits(12)
    known = filters(10)
    open_: list[tuple[int, Filter, Seat]] = []
    for client, which, leaves in steps:
        if leaves and open_:
            open_.pop(which % len(open_))[2].release()
        else:
            with suppress(RequestError):
                open_.append((client, known[which], limited.stream(came(f"192.0.2.{client}"), LOCAL, known[which])))
        counts = limited.patterns.counts()
        assert counts.get("", 0) == len({filter for _, filter, _ in open_}) <= 12
        for one in range(4):
            mine = len({filter for owner, filter, _ in open_ if owner == one})
            assert counts.get(f"address 192.0.2.{one}", 0) == mine <= 3
    for _, _, seat in open_:
        seat.release()
    assert limited.patterns.counts() == {}


def test_threads_that_open_and_close_at_once_leave_nothing_counted() -> None:
    limited = limits(8)

    def churn() -> None:
        for n in range(1000):
            with suppress(RequestError):
                limited.stream(came("192.0.2.1"), LOCAL, Filter.of([f"r{n % 5}*"])).release()

    threads = [threading.Thread(target=churn) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limited.patterns.counts() == {}
