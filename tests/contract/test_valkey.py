"""What a history in Valkey adds to the contract of `test_history`: other processes, and a server that loses events."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from event_hub.server.filters import Filter
from event_hub.server.history import Draft, HistoryError, HistoryLost, Retention
from event_hub.server.history.valkey import ValkeyHistory

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
