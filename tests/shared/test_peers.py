"""What processes on one history know of each other, whatever others have written there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from event_hub.server.history import Retention
from event_hub.server.history.valkey import ValkeyHistory
from event_hub.server.peers.facts import Facts
from event_hub.server.peers.peers import Peers

from ..valkeys import ValkeyServer

Join = Callable[[], Peers]


@pytest.fixture
def join(valkey_server: ValkeyServer) -> Iterator[Join]:
    prefix = os.urandom(6).hex()
    with ExitStack() as stack:

        def join() -> Peers:
            history = ValkeyHistory(f"{valkey_server.unix_url}?prefix={prefix}", Retention(None, None))
            stack.enter_context(closing(history))
            return Peers(history, lambda: Facts(subscribers=7), version="1")

        yield join


@pytest.mark.parametrize("facts", [b"", b"nonsense", b'{"subscribers":"many"}', b'{"watched":[["a"]]}', b"[]", b"\xff"])
def test_a_process_of_another_version_does_not_hide_the_others(join: Join, facts: bytes) -> None:
    mine, other = join(), join()
    call = mine._history.call
    versions, stored = mine._history.key("versions"), mine._history.key("facts")
    for name in ("000000000000", "ffffffffffff"):  # whichever comes first
        call("HSET", versions, name, "x")
        call("HSET", stored, name, facts)
    other.membership.beat()
    mine.membership.beat()
    assert mine.membership.others()[other.membership.name].subscribers == 7
    assert len(mine.membership.others()) == 3


def test_a_lease_that_another_had_meanwhile_is_not_renewed(join: Join) -> None:
    """Its owner continues where the other was, not where it was itself."""
    mine, other = join(), join()
    lease, theirs = mine.lease("x"), other.lease("x")
    assert lease.take()
    mine.keep(lease)
    mine._history.call("DEL", mine._history.key("lease:x"))  # as if it had expired
    assert theirs.take()
    assert theirs.store(b"further")
    theirs.free()
    mine.membership.beat()
    assert not lease.store(b"back again")
    assert lease.take()
    assert lease.value() == b"further"


def test_peers_that_cannot_be_asked_do_not_answer(join: Join) -> None:
    mine = join()
    mine._history.close()
    assert mine.ask(["other"], "subscribers", 10, timeout=0.1) == []
