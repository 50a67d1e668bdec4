"""What hubs that share a history hold in its server, and what must be gone from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ...hubs import HubProcess, until
from .resources import Resources, serving

Command = Callable[..., Any]

_CONNECTIONS = 8
"""Of a process: to append, to follow, for the rest and for its inbox, and four for reading, opened when they are used."""
_RESOLVERS = 10
_KEYS = {"events", "ids", "meta", "epochs", "erased", "peers", "versions", "facts", "secret"}
"""Those that do not expire, besides the fence and the value of each lease."""


def later(hub: HubProcess) -> Resources:
    """What a hub may open later than at its start, when it is used for the first time: the greenlet of long replays, and with
    a shared history, connections, and gevent's threads that resolve names."""
    number = len(serving(hub))
    if "sqlite" in hub.environ["HUB_HISTORY"]:
        return Resources(Counter(), 0, number)
    descriptors = Counter({"socket": _CONNECTIONS * number})
    return Resources(descriptors, _RESOLVERS * number, (_RESOLVERS + 1) * number)


def shared_problems(command: Command, hubs: Sequence[HubProcess]) -> list[str]:
    """What processes that have ended have left in the server, while all others run."""
    number = sum(len(serving(hub)) for hub in hubs)
    problems = _connected(command, _CONNECTIONS * number)
    try:
        until(lambda: _peers(command) == (number, number, number), "the facts of those that ended to be removed")
    except AssertionError:
        problems.append(f"{number} processes, and {_peers(command)} peers, versions, facts")
    return problems + _lasting_keys(command)


def left_behind(command: Command) -> list[str]:
    """What hubs have left in the server although all have ended in order."""
    problems = _connected(command, 0)
    if (peers := _peers(command)) != (0, 0, 0):
        problems.append(f"all hubs have ended, and there are {peers} peers, versions, facts")
    return problems + _lasting_keys(command)


def _connected(command: Command, most: int) -> list[str]:
    """A problem if there remain more connections than that, besides the one that counts them."""

    def clients() -> list[str]:
        return [line for line in command("CLIENT", "LIST").decode().splitlines() if "cmd=client|list" not in line]

    try:
        until(lambda: len(clients()) <= most, "connections to be closed")
    except AssertionError:
        return [f"{len(clients())} connections at the server instead of {most}: {clients()}"]
    return []


def _peers(command: Command) -> tuple[int, int, int]:
    return (command("ZCARD", "{hub}:peers"), command("HLEN", "{hub}:versions"), command("HLEN", "{hub}:facts"))


def _lasting_keys(command: Command) -> list[str]:
    names = [key.decode().removeprefix("{hub}:") for key in command("KEYS", "*")]
    others = [name for name in names if name not in _KEYS and not name.startswith(("fence:", "value:"))]
    kept = [name for name in others if command("TTL", f"{{hub}}:{name}") == -1]
    return [f"keys that do not expire: {kept}"] if kept else []
