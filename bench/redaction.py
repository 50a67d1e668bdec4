"""What redaction costs for each event, beside encoding it: `python -m bench.redaction`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec

from event_hub.redaction import EventRedactor, parse

RULES = {
    "card": "card",
    "email,phone,card,iban": "email,phone,card,iban",
    "the same, account and two patterns": r"email,phone,card,iban,account,ticket=/T-[0-9]{4}/,pin=/PIN is (\d+)/",
}
SPOKEN = "Thank you. I have found your order of last Thursday, and it should arrive tomorrow before noon."
EVENTS: dict[str, dict[str, Any]] = {
    "a delta of one word": {"type": "agent_text_delta", "delta": " sunny", "utterance": "a1", "session": "s1"},
    "a transcript of 95 characters": {"type": "transcript", "text": SPOKEN, "role": "agent", "session": "s1"},
    "the same with a card and an address": {
        "type": "transcript",
        "text": f"{SPOKEN} 4111 1111 1111 1111, john.doe@example.com",
        "role": "user",
    },
    "a tool's output, 40 values": {
        "type": "tool_call_finished",
        "call_id": "c1",
        "output": [{"name": "Oslo", "id": 1000000 + n, "at": 1695123456.7, "text": "sunny"} for n in range(10)],
    },
    "a state": {"type": "agent_state_changed", "old_state": "listening", "new_state": "thinking"},
}


def microseconds(work: Callable[[], object]) -> float:
    """The best of five rounds, per call."""
    count = 500
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(count):
            work()
        best = min(best, time.perf_counter() - began)
    return best / count * 1e6


def main() -> None:
    """Print a table: microseconds per event."""
    columns = ["json.dumps", "msgspec", *RULES]
    print(" " * 38 + "".join(f"{column:>{max(12, len(column) + 2)}}" for column in columns) + "   (µs)")
    for name, event in EVENTS.items():
        figures = [microseconds(lambda: json.dumps(event)), microseconds(lambda: msgspec.json.encode(event))]  # noqa: B023
        for rules in RULES.values():
            redactor = EventRedactor(parse(rules))
            figures.append(microseconds(lambda: redactor.redact(event)))  # noqa: B023
        cells = [f"{figure:>{max(12, len(column) + 2)}.1f}" for column, figure in zip(columns, figures, strict=True)]
        print(f"{name:38}" + "".join(cells))


if __name__ == "__main__":
    main()
