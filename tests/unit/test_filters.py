"""Filters: exact names, globs, and the cost of a hostile glob."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.server.filters import MAX_PATTERN_LENGTH, MAX_PATTERNS, MAX_STARS, BadFilter, Filter

names = st.text("ab*.[x\n", max_size=8)


@given(names.filter(lambda p: p and p.count("*") <= MAX_STARS), st.text("ab.[x\n*", max_size=10))
def test_globs_match_like_fnmatch(pattern: str, name: str) -> None:
    expected = re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), name) is not None
    assert bool(Filter.of(rooms=[pattern]).matches("t", name, None)) == expected


def test_all_dimensions_must_match() -> None:
    both = Filter.of(rooms=["a", "b*"], types=["x"])
    assert both.matches("x", "a", None)
    assert both.matches("x", "bcd", "s")
    assert not both.matches("y", "a", None)
    assert not both.matches("x", None, None)
    assert Filter().matches("anything", None, None)
    assert not Filter.of(rooms=["*"]).matches("x", None, None)
    assert Filter.of(types=["*"]).everything


def test_order_and_repetition_do_not_matter() -> None:
    assert Filter.of(rooms=["b", "a", "a", ""]) == Filter.of(rooms=["a", "b"])
    assert hash(Filter.of(rooms=["b", "a"])) == hash(Filter.of(rooms=["a", "b"]))
    assert Filter.of(rooms=["a"]) != Filter.of(sessions=["a"])


def test_the_most_selective_exact_dimension_is_indexed() -> None:
    assert Filter.of(rooms=["a"], types=["x"], sessions=["s"]).exact == ("session", ("s",))
    assert Filter.of(rooms=["a"], sessions=["s*"]).exact == ("room", ("a",))
    assert Filter.of(rooms=["a*"], types=["x"]).exact == ("type", ("x",))
    assert Filter.of(rooms=["a*", "b"]).exact is None


@pytest.mark.parametrize(
    "patterns",
    [["r"] * 1 + [f"r{n}" for n in range(MAX_PATTERNS)], ["x" * (MAX_PATTERN_LENGTH + 1)], ["*" * (MAX_STARS + 1)]],
)
def test_limits_are_enforced(patterns: list[str]) -> None:
    with pytest.raises(BadFilter):
        Filter.of(rooms=patterns)


def test_a_hostile_glob_is_matched_quickly() -> None:
    """With backtracking this would take about 250⁸ steps and run into the test's time limit."""
    hostile = Filter.of(rooms=["*".join("a" * (MAX_STARS + 1)) + "b"])
    for _ in range(1000):
        assert not hostile.matches("t", "a" * 256, None)
