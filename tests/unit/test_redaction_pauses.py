"""Redaction of long texts, in steps: a server does other work, and redacts other events, in between."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from event_hub.redaction import EventRedactor, TextRedactor, parse
from event_hub.redaction.numbers import _Run

RULES = parse("email,phone,card,iban,account")
CARD = "4111111111111111"


def delta(text: str, utterance: str) -> dict[str, Any]:
    return {"type": "agent_text_delta", "utterance": utterance, "delta": text, "offset": 0}


HOSTILE = ["1 ", "0 ", "4 ", "4111 ", "+1 ", "+49 30 1 ", "7", "DE00 ", "DE 0 0 ", "word ", "@", "a.@", "account 1234 "]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_long_text_is_scanned_in_steps_with_a_pause_after_each(unit: str) -> None:
    """Counted, not timed: between two pauses there are a few hundred calls, in a text that takes a million."""
    calls = since = most = 0

    def pause() -> None:
        nonlocal since, most
        most = max(most, calls - since)
        since = calls

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    redactor = TextRedactor(RULES.detectors, pause)
    text = unit * (32_000 // len(unit))
    sys.setprofile(profile)
    try:
        redactor.redact(text)
        pause()
    finally:
        sys.setprofile(None)
    assert most < 6_000
    assert not calls > 50_000 or most < calls / 10


def test_other_events_are_redacted_in_the_pauses_of_a_long_one() -> None:
    """Nothing that the others need is held meanwhile; streamed texts stay in order."""
    others: list[str] = []
    inside = False

    def pause() -> None:
        nonlocal inside
        if not inside and len(others) < 10:
            inside = True
            others.append(redactor.redact({"type": "transcript", "text": CARD})["text"])
            others.append(redactor.redact(delta(f"x {CARD} now ", f"a{len(others)}"))["delta"])
            inside = False

    redactor = EventRedactor(RULES, pause=pause, lock=threading.Lock())
    long = redactor.redact({"type": "transcript", "text": f"{CARD} and " + "1 " * 2000})
    assert long["text"].startswith("[card] and ")
    assert others == ["[card]", "x [card] now "] * 5


@given(st.text("0123456789", min_size=1, max_size=40).map(lambda text: text * 60), st.data())
def test_check_digits_are_those_of_the_library(digits: str, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(digits) - 1))
    count = data.draw(st.integers(1, min(20, len(digits) - index)))
    run = _Run(f"x{digits}", 1, len(digits) + 1, lambda: None)
    assert run.has_check_digit(index, count) == luhn.is_valid(digits[index : index + count])
