"""What HUB_ALERTS says. Pure.

    e2e p95 over 5m > 2s          the latency of turns: e2e, llm, tts, end_of_turn, transcription
    error                         an agent reports an error
    silent 60s                    a live session in which nothing happens
    crash                         the process of an agent ends unexpectedly

Rules are separated by `;`. Each can end with `in room support-*` or `of agent Weather*`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from ..units import seconds

FIGURES = {
    "e2e": "e2e_latency",
    "llm": "llm_node_ttft",
    "tts": "tts_node_ttfb",
    "end_of_turn": "end_of_turn_delay",
    "transcription": "transcription_delay",
}
"""What rules call LiveKit's figures."""
QUIET = 300.0
"""Seconds without an error, or a crash, after which its alert is cleared."""
MOST_RULES = 50
_SCOPE = re.compile(r"^(?P<rest>.*?)\s+(?P<kind>in room|of agent)\s+(?P<glob>\S+)$")
_LATENCY = re.compile(r"^(?P<figure>\w+) p(?P<percent>\d{1,2}(?:\.\d+)?) over (?P<window>\S+) > (?P<limit>\S+)$")
_SILENT = re.compile(r"^silent (?P<limit>\S+)$")
_COUNTED = re.compile(r"^(?P<kind>error|crash)(?: over (?P<window>\S+))?$")
_HELP = (
    "write e2e p95 over 5m > 2s, error, silent 60s or crash, each perhaps with in room support-* or of agent Weather"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `kind`: latency, error, silent or crash. `limit`: seconds that a latency, or a silence, may last; `window`:
    seconds that are looked at, or after which an alert is cleared."""

    text: str
    kind: str
    figure: str = ""
    share: float = 0.0
    window: float = QUIET
    limit: float = 0.0
    room: str | None = None
    agent: str | None = None

    def concerns(self, agent: str | None, room: str | None) -> bool:
        """Whether the rule is about this agent in this room."""
        return all(
            glob is None or (name is not None and fnmatchcase(name, glob))
            for glob, name in ((self.room, room), (self.agent, agent))
        )


def parse(text: str) -> tuple[Rule, ...]:
    """The rules in `text`; raises ValueError, with a sentence for the operator."""
    rules = [_rule(" ".join(part.split())) for part in re.split(r"[;\n]", text) if part.strip()]
    if len(rules) > MOST_RULES:
        raise ValueError(f"has {len(rules)} rules; the limit is {MOST_RULES}")
    if len({rule.text for rule in rules}) < len(rules):
        raise ValueError("has the same rule twice")
    return tuple(rules)


def _rule(text: str) -> Rule:
    rest = text
    scope: dict[str, str] = {}
    while found := _SCOPE.match(rest):
        name = found["kind"].split()[1]
        if name in scope:
            raise ValueError(f"{text[:80]!r} names two {name}s")
        rest, scope[name] = found["rest"], found["glob"]
    scoped = Rule(text, "", room=scope.get("room"), agent=scope.get("agent"))
    if latency := _LATENCY.match(rest):
        if latency["figure"] not in FIGURES:
            raise ValueError(f"{text[:80]!r}: {latency['figure'][:40]} is not a latency: {', '.join(FIGURES)}")
        window, limit = (_duration(text, latency[name]) for name in ("window", "limit"))
        if window > 86_400:
            raise ValueError(f"{text[:80]!r}: looks back for more than a day")
        share = float(latency["percent"]) / 100
        if not share:
            raise ValueError(f"{text[:80]!r}: p0 is not a percentile; write p50, p95 or p99")
        return replace(
            scoped, kind="latency", figure=FIGURES[latency["figure"]], share=share, window=window, limit=limit
        )
    if silent := _SILENT.match(rest):
        limit = _duration(text, silent["limit"])
        return replace(scoped, kind="silent", limit=limit)
    if counted := _COUNTED.match(rest):
        window = _duration(text, counted["window"]) if counted["window"] else QUIET
        return replace(scoped, kind=counted["kind"], window=window)
    raise ValueError(f"{text[:80]!r} is not a rule: {_HELP}")


def _duration(text: str, value: str) -> float:
    try:
        found = seconds(value)
    except ValueError:
        raise ValueError(f"{text[:80]!r}: {value[:40]} is not a duration; write 2s, 500ms or 5m") from None
    if found <= 0:
        raise ValueError(f"{text[:80]!r}: {value[:40]} is not more than 0")
    return found
