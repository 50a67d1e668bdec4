"""Long tasks take turns: in order, each for a slice, and whatever ends one of them, the others go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from event_hub.server.cooperate import Turns

from ..hubs import until


@pytest.fixture
def turns() -> Turns:
    return Turns(size=0.0)  # each pause is due


@pytest.fixture
def threads() -> Iterator[list[threading.Thread]]:
    started: list[threading.Thread] = []
    yield started
    for thread in started:
        thread.join(30)
        assert not thread.is_alive()


def run(threads: list[threading.Thread], target: object) -> None:
    thread = threading.Thread(target=target)  # type: ignore[arg-type]
    thread.start()
    threads.append(thread)


def test_tasks_work_in_turns_in_the_order_in_which_they_came(turns: Turns, threads: list[threading.Thread]) -> None:
    done: list[int] = []

    def task(number: int) -> None:
        with turns.turn() as turn:
            for _ in range(5):
                done.append(number)
                turn.pause_if_due()

    with turns.turn() as first:
        for number in range(3):
            run(threads, lambda number=number: task(number))
            until(lambda number=number: len(turns._line) == number + 1, "it to wait in line")
        assert done == []
        first.pause_if_due()
        assert done == [0, 1, 2]
        first.pause_if_due()
        assert done == [0, 1, 2, 0, 1, 2]
    for thread in threads:
        thread.join(30)
    assert done == [0, 1, 2] * 5


def test_a_short_task_does_not_wait_for_the_end_of_a_long_one(turns: Turns, threads: list[threading.Thread]) -> None:
    finished = threading.Event()

    def short() -> None:
        with turns.turn():
            pass
        finished.set()

    slices = 0
    with turns.turn() as turn:
        run(threads, short)
        while not finished.is_set():
            slices += 1
            assert slices < 100_000
            turn.pause_if_due()


def test_a_task_that_fails_or_is_cut_off_in_line_holds_up_no_other(
    turns: Turns, threads: list[threading.Thread]
) -> None:
    with pytest.raises(ZeroDivisionError), turns.turn():
        1 / 0  # noqa: B018
    with turns.turn() as turn:
        mine = turns.enter()
        assert mine is not None
        turns.leave(mine)  # cut off while it waits
        turn.pause_if_due()  # no other is in line
        mine = turns.enter()
        run(threads, lambda: (mine.wait(30), turns.leave(mine)))  # type: ignore[union-attr]  # … as it has its turn
        turn.pause_if_due()
    assert not turns._taken
    assert not turns._line


def test_one_task_at_a_time_whatever_the_order(turns: Turns, threads: list[threading.Thread]) -> None:
    working = most = 0

    def task() -> None:
        nonlocal working, most
        for _ in range(20):
            with turns.turn() as turn:
                for _ in range(3):
                    working += 1
                    most = max(most, working)
                    time.sleep(0)  # lets another thread in, if the turn does not keep it out
                    working -= 1
                    turn.pause_if_due()

    for _ in range(8):
        run(threads, task)
    for thread in threads:
        thread.join(30)
    assert most == 1
    assert not turns._taken
