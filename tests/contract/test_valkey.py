"""What a history in Valkey adds to the contract in `test_history`: other processes, epochs, lost answers."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from event_hub.server.filters import Filter
from event_hub.server.history import Draft, HistoryError, HistoryLost, Retention, Stored
from event_hub.server.history.valkey import ValkeyHistory
from event_hub.server.history.valkey.scripts import script, sha

from ..hubs import until
from ..valkeys import ValkeyServer

FOREVER = Retention(None, None)
Opener = Callable[..., ValkeyHistory]


@pytest.fixture
def prefix() -> str:
    return os.urandom(6).hex()


@pytest.fixture
def opener(valkey_server: ValkeyServer, prefix: str) -> Iterator[Opener]:
    """Opens the same history again and again, as several processes do."""
    opened: list[ValkeyHistory] = []

    def open_one(retention: Retention = FOREVER) -> ValkeyHistory:
        opened.append(ValkeyHistory(f"{valkey_server.unix_url}?prefix={prefix}", retention))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def draft(n: int, event_id: str | None = None) -> Draft:
    return Draft("t", None, None, event_id, json.dumps({"type": "t", "n": n}).encode())


def numbers(events: list[Stored]) -> list[int]:
    return [json.loads(stored.data)["n"] for _, stored in events]


class Following:
    """Follows a history in a thread, as `Delivery` does."""

    def __init__(self, history: ValkeyHistory, delivered: int = 0) -> None:
        self.events: list[Stored] = []
        self.delivered = delivered
        self.lost: HistoryLost | None = None
        self._history = history
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for events in self._history.follow(lambda: self.delivered):
                self.events += events
                self.delivered = events[-1][0]
        except HistoryLost as lost:
            self.lost = lost
        except HistoryError:
            pass

    def wait_for(self, count: int) -> list[Stored]:
        until(lambda: len(self.events) >= count or self.lost, f"{count} events")
        return self.events


def test_every_process_follows_what_the_others_append(opener: Opener) -> None:
    a, b, c = opener(), opener(), opener()
    following = Following(c)
    for n in range(0, 200, 4):
        (first,) = a.append([draft(n)], 1.0)
        second = b.append([draft(n + 1), draft(n + 2), draft(n + 3)], 1.0)
        assert [appended.offset for appended in second] == [first.offset + 1, first.offset + 2, first.offset + 3]
    events = following.wait_for(200)
    assert [offset for offset, _ in events] == list(range(1, 201))
    assert numbers(events) == list(range(200))


def test_one_event_id_for_all_processes(opener: Opener) -> None:
    a, b = opener(), opener()
    assert a.append([draft(1, "x")], 1.0) == [(1, False)]
    assert b.append([draft(2, "y"), draft(1, "x"), draft(2, "y")], 1.0) == [(2, False), (1, True), (2, True)]


def test_a_batch_whose_answer_was_lost_is_neither_lost_nor_doubled(
    valkey_server: ValkeyServer, opener: Opener, prefix: str
) -> None:
    """The same number gets the same answer; what arrives after a later batch is refused."""
    history = opener()
    history.append([draft(1)], 1.0)
    keys = [f"{{{prefix}}}:{name}" for name in ("events", "ids", "meta", f"batch:{history.name}")]

    def send(number: int, *words: Any) -> Any:
        arguments = (history.epochs.current, number, "1.0", 60, *words)
        return valkey_server.command("EVALSHA", sha("append"), 4, *keys, *arguments)

    event = ("", b'{"type":"t","n":2}')
    first = send(2, *event)
    assert first == send(2, *event) == send(2, *event)
    assert first[:2] == [1, 1]
    with pytest.raises(redis.ResponseError, match="LATEBATCH 2"):
        send(1, *event)
    assert valkey_server.command("XLEN", keys[0]) == 2


def test_a_connection_that_is_cut_is_made_again(valkey_server: ValkeyServer, opener: Opener) -> None:
    history = opener()
    following = Following(history)
    for n in range(20):
        history.append([draft(n, f"e{n}")], 1.0)
        valkey_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        if following.lost is None and not following._thread.is_alive():  # `Delivery` starts again
            following._thread = threading.Thread(target=following._run, daemon=True)
            following._thread.start()
    following._thread.join(0.1)
    if not following._thread.is_alive():
        threading.Thread(target=following._run, daemon=True).start()
    assert numbers(following.wait_for(20)) == list(range(20))
    assert len(history.epochs._names) == 1, "no server has started"


def test_each_start_of_the_server_begins_one_epoch(valkey_server: ValkeyServer, opener: Opener) -> None:
    """SCRIPT FLUSH looks like one. Nothing was lost, so cursors of the epochs before stay valid."""
    a, b = opener(), opener()
    a.append([draft(1)], 1.0)
    cursor = a.epochs.cursor(1)
    for _ in range(3):
        valkey_server.command("SCRIPT", "FLUSH")
        a.append([draft(2)], 1.0)
        b.append([draft(3)], 1.0)
    assert a.epochs._names == b.epochs._names
    assert len(a.epochs._names) == 4
    assert a.epochs.survived(cursor) == b.epochs.survived(cursor) == (1, True)
    assert a.newest().offset == b.head == 7


def test_a_hub_that_has_noticed_no_restart_learns_what_others_have_appended_since(
    valkey_server: ValkeyServer, opener: Opener
) -> None:
    """Its connections are cut too: each is made again where a reader waits for it (fault round valkey-restarted, 9040)."""
    a, b = opener(), opener()
    a.append([draft(1)], 1.0)
    assert b.newest().offset == 1
    valkey_server.command("SCRIPT", "FLUSH")
    valkey_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    a.append([draft(2)], 1.0)
    assert b.newest().offset == 2
    assert b.newest() == a.newest()


def test_lost_events_stop_everything_until_the_log_begins_again(
    valkey_server: ValkeyServer, opener: Opener, prefix: str
) -> None:
    """A cursor of what was delivered never names an epoch in which that offset is another event."""
    a, b = opener(), opener()
    for n in range(10):
        a.append([draft(n)], 1.0)
    following = Following(b)
    following.wait_for(10)
    b_head = b.epochs.cursor(10)
    for key in ("events", "ids", "meta", "epochs"):
        valkey_server.command("DEL", f"{{{prefix}}}:{key}")
    with pytest.raises(HistoryError, match="has lost events"):
        a.append([draft(11)], 1.0)
    with pytest.raises(HistoryError, match="has lost events"):
        a.append([draft(11)], 1.0)
    until(lambda: following.lost, "the follower to find out")
    assert following.lost is not None
    assert (following.lost.through, following.lost.reason) == (0, "lost")
    again = Following(b)
    until(lambda: b.epochs.survived(b_head) is None, "the new epochs")
    assert b.append([draft(12)], 1.0) == [(1, False)]
    assert numbers(again.wait_for(1)) == [12]


def test_a_history_whose_epochs_were_removed_is_opened_with_a_new_one(
    valkey_server: ValkeyServer, opener: Opener, prefix: str
) -> None:
    a = opener()
    a.append([draft(n) for n in range(3)], 1.0)
    valkey_server.command("DEL", f"{{{prefix}}}:epochs")
    b = opener()
    assert b.append([draft(3)], 1.0) == [(4, False)]
    assert b.epochs.survived(a.epochs.cursor(3)) is None
    assert len(b.after(0, 4, Filter(), 10).records) == 4


def test_a_follower_gets_tombstones_and_learns_of_retention(opener: Opener) -> None:
    a, b = opener(Retention(10, None)), opener(Retention(10, None))
    a.append([draft(n) for n in range(10)], 1.0)
    a.erase({3: b'{"type":"event_erased"}', 4: b'{"type":"event_erased"}'})
    following = Following(b)
    events = following.wait_for(10)
    assert [stored.type for _, stored in events] == ["t", "t", "event_erased", "event_erased"] + ["t"] * 6
    a.append([draft(n) for n in range(10)], time.time())
    while a.trim(time.time()):
        pass
    assert a.floor == 10
    until(lambda: b.floor == 10, "the other to learn of it")
    assert [record.offset for record in b.after(0, 20, Filter(), 100).records] == list(range(11, 21))


def test_one_clock_that_is_ahead_does_not_move_the_others(opener: Opener) -> None:
    a, b = opener(), opener()
    now = time.time()
    a.append([draft(1)], now + 86_400)
    b.append([draft(2)], now)
    assert b.offset_at(now + 60) == 2


def test_a_batch_is_stored_whole_or_not_at_all(valkey_server: ValkeyServer, opener: Opener) -> None:
    history = opener()
    history.append([draft(1)], 1.0)
    used = int(valkey_server.command("INFO", "memory").split(b"used_memory:")[1].split(b"\r")[0])
    valkey_server.command("CONFIG", "SET", "maxmemory", used - 1000)
    try:
        with pytest.raises(HistoryError, match="out of memory"):
            history.append([draft(n, f"e{n}") for n in range(1000)], 1.0)
        with pytest.raises(HistoryError):
            history.probe()
    finally:
        valkey_server.command("CONFIG", "SET", "maxmemory", 0)
    with pytest.raises(HistoryError):
        history.append([draft(2)], 1.0)
    history.probe()
    assert history.append([draft(n, f"e{n}") for n in range(1000)], 1.0)[0] == (2, False)


def test_the_scripts_are_part_of_the_package() -> None:
    for name in ("append", "open", "trim", "erase", "offset_at"):
        assert script(name).startswith("--")
