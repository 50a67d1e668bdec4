"""What agents do, counted from their events as they are accepted: latencies, turns, tools, tokens. For `/metrics`."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from .counters import LATENCY_BOUNDS, Timings
from .history import Draft

FIGURES = ("e2e_latency", "llm_node_ttft", "tts_node_ttfb", "end_of_turn_delay", "transcription_delay")
OTHER, UNKNOWN = "other", "unknown"
MOST = 50
"""Agents, and models, with figures of their own; those that come later are `other`."""
_SESSIONS = 10_000
_LONGEST = 3_600.0
"""Seconds. A longer latency means that a clock was wrong."""
_TOKENS = (("input_tokens", "input"), ("output_tokens", "output"), ("input_cached_tokens", "cached"))
_decode: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder().decode


class AgentMetrics:
    """Counts in one process. `observe` what was accepted."""

    def __init__(self) -> None:
        self.latencies: dict[tuple[str, str], Timings] = {}
        """By agent and figure."""
        self.turns: Counter[str] = Counter()
        self.interruptions: Counter[str] = Counter()
        self.tool_calls: Counter[str] = Counter()
        self.tool_errors: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.tokens: Counter[tuple[str, str]] = Counter()
        """By model, and input, output or cached (which are part of the input)."""
        self._agents: OrderedDict[str, str] = OrderedDict()
        """Sessions, and the agents that run them: those heard of last."""
        self._usage: OrderedDict[tuple[str, str], dict[str, int]] = OrderedDict()
        """The tokens of each session and model so far: usage is reported as a total."""
        self._names: set[str] = set()
        self._models: set[str] = set()

    def observe(self, drafts: Iterable[Draft]) -> None:
        """Count these events, in their order. Others than `TYPES` cost a look."""
        for draft in drafts:
            handler = _HANDLERS.get(draft.type)
            if handler is not None:
                handler(self, _decode(draft.data), draft.session or "")

    def _agent(self, session: str) -> str:
        return _bounded(self._names, self._agents.get(session) or UNKNOWN)

    def _started(self, event: dict[str, Any], session: str) -> None:
        name = event.get("agent") or event.get("new_agent")
        if session and isinstance(name, str) and 0 < len(name) <= 128:
            self._agents[session] = name
            self._agents.move_to_end(session)
            if len(self._agents) > _SESSIONS:
                self._agents.popitem(last=False)

    def _metrics(self, event: dict[str, Any], session: str) -> None:
        agent = self._agent(session)
        self.turns[agent] += event.get("role") == "user"
        for figure in FIGURES:
            value = event.get(figure)
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LONGEST:
                timings = self.latencies.get((agent, figure))
                if timings is None:
                    timings = self.latencies[agent, figure] = Timings(*LATENCY_BOUNDS)
                timings.observe(value)

    def _speech_finished(self, event: dict[str, Any], session: str) -> None:
        self.interruptions[self._agent(session)] += event.get("interrupted") is True

    def _tool_finished(self, event: dict[str, Any], session: str) -> None:
        if event.get("correction") is not True:
            agent = self._agent(session)
            self.tool_calls[agent] += 1
            self.tool_errors[agent] += event.get("is_error") is True

    def _error(self, _event: dict[str, Any], session: str) -> None:
        self.errors[self._agent(session)] += 1

    def _usage_updated(self, event: dict[str, Any], session: str) -> None:
        models = event.get("model_usage")
        for usage in models if isinstance(models, list) else ():
            model = usage.get("model") if isinstance(usage, dict) else None
            if not isinstance(model, str) or len(model) > 256:
                continue
            key = (session, model)
            before = self._usage.get(key, {})
            now = {
                name: usage[name] for name, _ in _TOKENS if type(usage.get(name)) is int and 0 <= usage[name] < 1 << 53
            }
            for name, kind in _TOKENS:
                if (more := now.get(name, 0) - before.get(name, 0)) > 0:
                    self.tokens[_bounded(self._models, model), kind] += more
            self._usage[key] = {**before, **now}
            self._usage.move_to_end(key)
            if len(self._usage) > _SESSIONS:
                self._usage.popitem(last=False)


def _bounded(known: set[str], name: str) -> str:
    if name in known or name == UNKNOWN:
        return name
    if len(known) >= MOST:
        return OTHER
    known.add(name)
    return name


_HANDLERS: dict[str, Callable[[AgentMetrics, dict[str, Any], str], None]] = {
    "session_started": AgentMetrics._started,
    "agent_handoff": AgentMetrics._started,
    "turn_metrics": AgentMetrics._metrics,
    "agent_speech_finished": AgentMetrics._speech_finished,
    "tool_call_finished": AgentMetrics._tool_finished,
    "agent_error": AgentMetrics._error,
    "usage_updated": AgentMetrics._usage_updated,
}
TYPES = frozenset(_HANDLERS)
