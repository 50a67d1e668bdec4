"""The checks of the rounds of faults find what they are there to find."""

from __future__ import annotations

import random

import pytest

from event_hub.sse import Cursor

from ..faults.rounds.records import Gap, Item, Record, history_problems, stream_problems


def record(offset: int, key: str | None = None, kind: str = "n", epoch: str = "e") -> Record:
    return Record(Cursor(epoch, offset), key or f"k{offset}", kind)


HISTORY = [record(n, kind="n" if n % 3 else "other") for n in range(1, 11)]
ACKNOWLEDGED = {r.key: str(r.cursor) for r in HISTORY}


def gap(first: int, last: int, missed: int | None, epoch: str = "e") -> Gap:
    return Gap(Cursor(epoch, first), Cursor("e", last), missed, "too_slow")


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
        ([*HISTORY[:3], gap(3, 7, 4, epoch="f"), *HISTORY[7:]], "although no event was lost"),
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
