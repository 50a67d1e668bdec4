"""The steady clock: a wall clock that jumps does not make retention remove anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.server.clock import SteadyClock
from event_hub.server.history import Draft, Retention
from event_hub.server.history.memory import MemoryHistory

DAY = 86_400.0


class Clocks:
    """A wall clock and a steady clock, set by hand."""

    def __init__(self) -> None:
        self.wall = 1_000_000_000.0
        self.steady = 500.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.steady)

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.mark.parametrize("jump", [8 * DAY, -8 * DAY, 3600.0, -61.0])
def test_a_jump_is_ignored_and_forgotten_when_the_clock_comes_back(jump: float) -> None:
    clocks = Clocks()
    clocks.wall += jump
    for _ in range(3):
        clocks.pass_time(1)
        assert clocks.clock() == clocks.wall - jump
    clocks.wall -= jump
    clocks.pass_time(1)
    assert clocks.clock() == clocks.wall


def test_a_clock_that_stays_corrected_is_believed_after_ten_minutes() -> None:
    clocks = Clocks()
    clocks.wall += DAY
    clocks.clock()
    clocks.pass_time(599)
    assert clocks.clock() == clocks.wall - DAY
    clocks.pass_time(2)
    assert clocks.clock() == clocks.wall


@given(st.lists(st.floats(-30, 30), max_size=50))
def test_small_corrections_are_followed(steps: list[float]) -> None:
    clocks = Clocks()
    for step in steps:
        clocks.pass_time(10)
        clocks.wall += step
        assert clocks.clock() == clocks.wall


def test_eight_days_for_three_seconds_leave_the_history_as_it_is() -> None:
    clocks = Clocks()
    history = MemoryHistory(Retention(7 * DAY, None))
    for number in range(10):
        history.append([Draft("n", None, None, None, b"%d" % number)], clocks.clock())
        clocks.pass_time(1)
    clocks.wall += 8 * DAY
    for _ in range(3):
        clocks.pass_time(1)
        history.append([Draft("n", None, None, None, b"{}")], clocks.clock())
        history.trim(clocks.clock())
    clocks.wall -= 8 * DAY
    history.trim(clocks.clock())
    assert (history.floor, history.head) == (0, 13)
    assert history.offset_at(clocks.wall - 5) > 0  # and its times are still in order
    clocks.pass_time(8 * DAY)
    history.trim(clocks.clock())
    assert history.floor == 13
