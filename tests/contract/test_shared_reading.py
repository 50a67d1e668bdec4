"""Reading a history that hubs share: a client that moves between them gets no gap that is none, and connections may break."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from event_hub.server.filters import Filter
from event_hub.server.history import Draft, HistoryError, HistoryReader, Retention
from event_hub.server.history.valkey import ValkeyHistory
from event_hub.server.streaming.start import Start, resume

from ..valkeys import ValkeyServer


@pytest.fixture
def pair(valkey_server: ValkeyServer) -> Iterator[tuple[ValkeyHistory, ValkeyHistory]]:
    url = f"{valkey_server.url}?prefix={os.urandom(4).hex()}"
    histories = [ValkeyHistory(url, Retention(None, None)) for _ in range(2)]
    try:
        yield histories[0], histories[1]
    finally:
        for history in histories:
            history.close()


def append(history: ValkeyHistory, number: int) -> str:
    """Append events; returns the last one's cursor."""
    history.append([Draft("n", None, None, None, b'{"type":"n"}')] * number, 1.0)
    return str(history.epochs.cursor(history.head))


def test_a_cursor_of_an_epoch_that_another_hub_has_begun(
    pair: tuple[ValkeyHistory, ValkeyHistory], valkey_server: ValkeyServer
) -> None:
    one, other = pair
    append(one, 5)
    valkey_server.command("SCRIPT", "FLUSH")  # as if the server had been restarted
    cursor = append(one, 5)
    assert cursor.partition("-")[0] != other.epochs.current
    reader = HistoryReader(other, SimpleNamespace(head=10))
    assert resume(cursor, Filter(), reader) == Start(10, resumed=True)


def test_a_hub_that_is_behind_does_not_send_again_what_the_client_has_seen(
    pair: tuple[ValkeyHistory, ValkeyHistory],
) -> None:
    one, other = pair
    cursor = append(one, 5)
    log = SimpleNamespace(head=3)  # its follower does not get through
    with pytest.raises(HistoryError, match="is behind"):
        resume(cursor, Filter(), HistoryReader(other, log))
    log.head = 5
    assert resume(cursor, Filter(), HistoryReader(other, log)) == Start(5, resumed=True)


def test_a_cursor_that_the_history_does_not_have_is_still_a_gap(pair: tuple[ValkeyHistory, ValkeyHistory]) -> None:
    one, other = pair
    append(one, 5)
    reader = HistoryReader(other, SimpleNamespace(head=5))
    gap = resume(f"{other.epochs.current}-9", Filter(), reader).gap
    assert gap is not None
    assert gap.reason == "future_cursor"
    gap = resume("ffffffff-9", Filter(), reader).gap
    assert gap is not None
    assert gap.reason == "unknown_epoch"


def test_a_read_does_not_fail_because_its_connection_broke_while_it_was_idle() -> None:
    server = ValkeyServer().start()
    history = ValkeyHistory(server.url, Retention(None, None))
    try:
        append(history, 5)
        assert len(history.after(0, 5, Filter(), 10).records) == 5
        server.kill()
        server.start()
        assert len(history.after(0, 5, Filter(), 10).records) == 5
    finally:
        history.close()
        server.close()
