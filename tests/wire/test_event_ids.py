"""Ids of events: a publisher that is limited to rooms has its own in each, whatever characters are in names and ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..hubs import HubProcess
from .guarded import ENVIRON, KEYS, bearer

ALL, ROOMS = KEYS["publish"], KEYS["publish room"]


@pytest.fixture
def hub(hub_factory: Callable[..., HubProcess]) -> HubProcess:
    return hub_factory(**ENVIRON).start()


def post(hub: HubProcess, key: str, room: str | None, event_id: str) -> bool:
    """Whether the id was already known."""
    event: dict[str, Any] = {"type": "note", "event_id": event_id}
    answer = hub.post({**event, "room": room} if room is not None else event, headers=bearer(key))
    assert answer.status_code == 200, answer.text
    duplicate: bool = answer.json()["duplicate"]
    return duplicate


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((ROOMS, "support-a", "b\0c"), (ROOMS, "support-a\0b", "c")),
        ((ROOMS, "support-a", "e1"), (ALL, "support-a", "support-a\0e1")),
        ((ROOMS, "support-a", "e1"), (ALL, None, '\0["support-a","e1"]')),
        ((ROOMS, "support-a", "e1"), (ALL, None, '["support-a","e1"]')),
        ((ROOMS, "support-a", 'e","1'), (ROOMS, 'support-a","e', "1")),
        ((ALL, None, "\0x"), (ALL, None, "\0\0x")),
        ((ALL, None, "\0x"), (ALL, None, "x")),
        ((ROOMS, "support-a", "e1"), (ROOMS, "support-b", "e1")),
    ],
)
def test_distinct_ids_never_collide(
    hub: HubProcess, first: tuple[str, str | None, str], second: tuple[str, str | None, str]
) -> None:
    assert not post(hub, *first)
    assert not post(hub, *second)
    assert post(hub, *first), "the same again"
    assert post(hub, *second)
