"""What a history in Valkey adds to the contract of `test_history`: other processes, and a server that loses events."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from event_hub.server.filters import Filter
from event_hub.server.history import Draft, HistoryError, HistoryLost, Retention
from event_hub.server.history.valkey import ValkeyHistory
from event_hub.server.history.valkey.link import transaction

from ..hubs import until
from ..valkeys import ValkeyServer


class Server:
    """A history on the server, as one test uses it."""

    def __init__(self, server: ValkeyServer, stack: ExitStack) -> None:
        self.server = server
        self.prefix = os.urandom(6).hex()
        self._stack = stack

    def open(self) -> ValkeyHistory:
        history = ValkeyHistory(f"{self.server.unix_url}?prefix={self.prefix}", Retention(None, None))
        return self._stack.enter_context(closing(history))

    def key(self, name: str) -> str:
        return f"{{{self.prefix}}}:{name}"

    def lose(self, head: int) -> None:
        """As after a failover to a replica that had the events up to `head`, which another hub has opened first."""
        entries = self.server.command("XRANGE", self.key("events"), "-", f"{head}-0")
        self.server.command("DEL", self.key("events"))
        for id, fields in entries:
            self.server.command("XADD", self.key("events"), id, *fields)
        self.server.command("HSET", self.key("meta"), "epoch", "next", "head", head)
        self.server.command("RPUSH", self.key("epochs"), f"{head + 1} next")


@pytest.fixture
def server(valkey_server: ValkeyServer) -> Iterator[Server]:
    with ExitStack() as stack:
        yield Server(valkey_server, stack)


def draft(n: int) -> Draft:
    return Draft("n", None, None, None, json.dumps({"type": "n", "n": n}).encode())


def test_a_log_begins_again_at_the_head_of_what_is_there(server: Server) -> None:
    """Otherwise subscribers that come now would get what is old as if it were live, and publishers would wait for it."""
    mine, other = server.open(), server.open()
    mine.append([draft(n) for n in range(1, 11)], 1.0)
    server.lose(5)
    other.epochs.update([("next", 6)])
    other.append([draft(n) for n in range(16, 19)], 2.0)
    delivered = 10
    with pytest.raises(HistoryLost) as caught:
        for _ in mine.follow(lambda: delivered):
            pass
    assert (caught.value.through, caught.value.reason) == (8, "lost")
    assert (mine.head, mine.epochs.current, mine.epochs.of(5)) == (8, "next", mine.epochs._names[0])
    assert [json.loads(r.data)["n"] for r in mine.after(3, 8, Filter(), 100).records] == [4, 5, 16, 17, 18]


def test_an_append_whose_events_are_lost_before_its_answer_is_read_fails(server: Server) -> None:
    mine = server.open()
    mine.append([draft(1)], 1.0)
    call = mine._appending.call

    def answer_late(*words: object) -> object:
        answer = call(*words)
        server.lose(1)
        mine._refresh(mine._serving)  # nothing that is known here is lost
        return answer

    mine._appending.call = answer_late  # type: ignore[method-assign]
    with pytest.raises(HistoryError, match="lost"):
        mine.append([draft(2)], 1.0)


def test_what_was_read_before_a_loss_is_not_delivered_after_it(server: Server) -> None:
    mine, other = server.open(), server.open()
    other.append([draft(1)], 1.0)
    call = mine._following.call
    lost: list[int] = []

    def answer_late(*words: object) -> object:
        answer = call(*words)
        if answer and not lost:
            lost.append(1)
            server.lose(0)
            mine._refresh(mine._serving)
            other.epochs.update([("next", 1)])
            other.append([draft(11)], 2.0)
        return answer

    mine._following.call = answer_late  # type: ignore[method-assign]
    (event,) = next(mine.follow(lambda: 0))
    assert (json.loads(event[1].data)["n"], mine.epochs.of(event[0])) == (11, "next")


def test_a_server_that_does_not_answer_is_waited_for_once(server: Server) -> None:
    """Not by each reader in turn: the last of a hundred would wait for minutes."""
    mine = server.open()
    mine.append([draft(1)], 1.0)
    waited: list[object] = []
    for link in mine._links:
        link.call("PING")
        exchange, connect = link._exchange, link._connect
        link._exchange = lambda *words, exchange=exchange: waited.append(words) or exchange(*words)  # type: ignore[method-assign,misc]
        link._connect = lambda connect=connect: waited.append(None) or connect()  # type: ignore[method-assign,misc]
    failed: list[str] = []

    def read() -> None:
        with pytest.raises(HistoryError) as caught:
            mine.after(0, 1, Filter(), 1)
        failed.append(str(caught.value))

    threads = [threading.Thread(target=read, daemon=True) for _ in range(40)]
    server.server.pause()
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        server.server.resume()
    assert [text.rpartition(" does ")[2] for text in failed] == ["not answer"] * 40
    assert len(waited) <= len(mine._links)
    until(lambda: reads(mine), "the history to be read again")


def reads(history: ValkeyHistory) -> bool:
    try:
        return len(history.after(0, 1, Filter(), 1).records) == 1
    except HistoryError:
        return False


def test_a_restart_of_the_server_fails_no_read() -> None:
    """A connection that it has closed is not the end: browsers do not come back to a stream that was refused."""
    with closing(ValkeyServer().start()) as restarted, ExitStack() as stack:
        mine = Server(restarted, stack).open()
        mine.append([draft(1)], 1.0)
        for link in mine._links:
            link.call("PING")
        restarted.kill()
        restarted.start()
        assert [reads(mine) for _ in mine._links] == [True] * len(mine._links)


def test_what_fails_within_a_transaction_leaves_no_connection_in_it(server: Server) -> None:
    link = server.open()._serving
    with pytest.raises(Exception, match="unknown command"):
        link.run(lambda call: transaction(call, ("NOSUCHCOMMAND",)))
    assert link.call("PING") == b"PONG"
