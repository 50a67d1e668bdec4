"""The checks of the rounds of faults find what they are there to find."""

from __future__ import annotations

import random

import pytest

from event_hub.sse import Cursor

from ..faults.rounds.losses import lost_without_reason, stream_problems_after_loss
from ..faults.rounds.records import Gap, Item, Record, history_problems, stream_problems


def record(offset: int, key: str | None = None, kind: str = "n", epoch: str = "e") -> Record:
    return Record(Cursor(epoch, offset), key or f"k{offset}", kind)


HISTORY = [record(n, kind="n" if n % 3 else "other") for n in range(1, 11)]
ACKNOWLEDGED = {r.key: str(r.cursor) for r in HISTORY}


def gap(first: int, last: int, missed: int | None, reason: str = "too_slow") -> Gap:
    return Gap(Cursor("e", first), Cursor("e", last), missed, reason)


def in_stream(seen: list[Item], only: str = "") -> list[str]:
    return stream_problems(HISTORY, seen, lambda r: only in ("", r.type), bool(only))


def test_a_history_and_streams_without_faults_have_no_problems() -> None:
    assert history_problems(HISTORY, ACKNOWLEDGED, [[r.key for r in HISTORY]]) == []
    assert in_stream(list(HISTORY)) == []
    assert in_stream([r for r in HISTORY if r.type == "n"], "n") == []
    assert in_stream([*HISTORY[:3], gap(3, 7, 4), *HISTORY[7:]]) == []
    assert in_stream([HISTORY[0], gap(1, 7, None), HISTORY[7], HISTORY[9]], "n") == []


@pytest.mark.parametrize(
    ("history", "problem"),
    [
        ([*HISTORY[:4], *HISTORY[5:]], "are not 1…9"),
        (HISTORY[:-1], "1 acknowledged events lost"),
        ([*HISTORY, record(11, "k3")], "1 events doubled"),
        ([*HISTORY[:-1], record(10, epoch="f")], "more than one epoch"),
        ([record(1, "k2"), record(2, "k1"), *HISTORY[2:]], "acknowledged with another id"),
        ([record(1, "k2"), record(2, "k1"), *HISTORY[2:]], "not in its order"),
    ],
)
def test_problems_of_a_history(history: list[Record], problem: str) -> None:
    found = history_problems(history, ACKNOWLEDGED, [[r.key for r in HISTORY]])
    assert any(problem in text for text in found), found


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        (HISTORY[:-1], "1 events did not arrive"),
        ([*HISTORY[:4], *HISTORY[5:]], "lost before"),
        ([*HISTORY[:4], *HISTORY[3:]], "doubled or out of order"),
        ([HISTORY[0], HISTORY[2], HISTORY[1], *HISTORY[3:]], "lost before"),
        ([*HISTORY, HISTORY[-1]], "after the head"),
        ([*HISTORY[:4], record(5, "another"), *HISTORY[5:]], "lost before"),
        ([*HISTORY[:3], gap(3, 7, 3), *HISTORY[7:]], "leaves out 4"),
        ([*HISTORY[:3], gap(5, 7, 2), *HISTORY[7:]], "conceals"),
        ([*HISTORY[:3], gap(3, 7, 4, "unknown_epoch"), *HISTORY[7:]], "although no event was lost"),
        ([*HISTORY[:3], gap(3, 7, 4), *HISTORY[6:]], "doubled or out of order"),
    ],
)
def test_problems_of_a_stream(seen: list[Item], problem: str) -> None:
    found = in_stream(seen)
    assert any(problem in text for text in found), found


def test_any_change_of_a_stream_is_a_problem() -> None:
    rng = random.Random(17)
    for _ in range(500):
        seen: list[Item] = list(HISTORY)
        place, other = rng.randrange(10), rng.randrange(10)
        change = rng.choice(("drop", "repeat", "swap"))
        if change == "drop":
            del seen[place]
        elif change == "repeat":
            seen.insert(other, seen[place])
        elif place != other:
            seen[place], seen[other] = seen[other], seen[place]
        assert (in_stream(seen) == []) == (seen == HISTORY)


KEPT = HISTORY[:6]
LOST = [record(n, f"lost{n}") for n in range(7, 10)]
AFTER = [record(n, f"new{n}", epoch="f") for n in range(7, 10)]
LOSS = Gap(Cursor("e", 9), Cursor("e", 6), None, "unknown_epoch")


def after_loss(seen: list[Item]) -> list[str]:
    return stream_problems_after_loss([*KEPT, *AFTER], seen, lambda _: True)


def test_streams_and_a_history_after_a_loss_without_problems() -> None:
    assert after_loss([*KEPT, *LOST, LOSS, *AFTER]) == []
    assert after_loss([*KEPT, *LOST[:1], LOSS, *AFTER]) == []
    assert after_loss([*KEPT, *AFTER]) == []  # it had not seen what was lost
    keys = {r.key: str(r.cursor) for r in [*KEPT, *LOST, *AFTER]}
    assert lost_without_reason([*KEPT, *AFTER], keys, {r.key for r in KEPT}) == []


def test_acknowledged_events_that_no_loss_explains() -> None:
    keys = {r.key: str(r.cursor) for r in [*KEPT, *LOST, *AFTER]}
    assert lost_without_reason([*KEPT[:5], *AFTER], keys, {r.key for r in KEPT}) == ["k6"]
    assert lost_without_reason([*KEPT, *AFTER[:2]], keys, {r.key for r in KEPT}) == ["new9"]


@pytest.mark.parametrize(
    ("seen", "problem"),
    [
        ([*KEPT, *LOST, *AFTER], "without a gap"),
        ([*KEPT, *LOST], "no gap says so"),
        ([*KEPT, *LOST, LOSS], "3 events did not arrive"),
        ([*KEPT[:5], *LOST, LOSS, *AFTER], "conceals"),
        ([*KEPT, *LOST, LOSS, *AFTER[1:]], "expected"),
        ([*KEPT, *LOST, LOSS, AFTER[0], *AFTER], "expected"),
        ([*KEPT, LOST[1], LOST[0], LOSS, *AFTER], "out of order"),
        ([*KEPT, record(7, "another", epoch="f"), *AFTER], "has the place of"),
    ],
)
def test_problems_of_a_stream_after_a_loss(seen: list[Item], problem: str) -> None:
    found = after_loss(seen)
    assert any(problem in text for text in found), found
