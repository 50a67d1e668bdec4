"""One session as OpenTelemetry's spans and latencies. Pure.

A trace per session: a span for the session, one for each turn, and below it the user's speech, what the wait for the answer
was made of, the agent's speech, and tools. Names and attributes are those of the semantic conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/) where these have one. Ids are made from the session, so a trace that is
sent again is the same one. No text of the conversation is part of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import accumulate
from typing import Any, NamedTuple

_LLM, _TTS = "llm_node_ttft", "tts_node_ttfb"
_PARTS = {_LLM: "chat", _TTS: "text_to_speech"}
"""What spans of these parts of a wait are called; others keep LiveKit's names."""
FIGURES = ("e2e_latency", "end_of_turn_delay", "transcription_delay", _LLM, _TTS)


class SessionSpan(NamedTuple):
    """One span; times in epoch seconds."""

    id: bytes
    parent: bytes | None
    name: str
    start: float
    end: float
    attributes: dict[str, Any]
    error: bool = False


def trace_id(document: Mapping[str, Any]) -> bytes:
    """The trace of a session: the same for every hub that has its events."""
    key = repr((document["room"], document["session"], document["first"]))
    return blake2b(key.encode(), digest_size=16).digest()


def spans(document: Mapping[str, Any]) -> Iterator[SessionSpan]:
    """The spans of a session, the whole first. `document`: as `/api/sessions/<id>` has it."""
    trace = trace_id(document)
    start = document["started"] or document["updated"] or 0.0
    end = max(start, document["ended"] or document["updated"] or start)
    root = _id(trace, "session")
    agent, counts = document["agent"], document["counts"]
    name = f"invoke_agent {agent}" if agent else "invoke_agent"
    about = _about(document)
    of_model = ("gen_ai.provider.name", "gen_ai.request.model")
    model: dict[str, Any] = {name: about[name] for name in of_model if name in about}
    yield SessionSpan(root, None, name, start, end, about, counts["errors"] > 0)
    turns = [(turn, _span_of(turn, start)) for turn in document["turns"]]
    for turn, (began, ended) in turns:
        number = turn["number"]
        id = _id(trace, f"turn {number}")
        latency = turn.get("latency") or {}
        facts = _known(
            {
                "livekit.turn.number": number,
                "livekit.turn.e2e_latency": latency.get("total"),
                "livekit.turn.interrupted": (turn.get("agent") or {}).get("interrupted"),
            }
        )
        yield SessionSpan(id, root, f"turn {number}", began, ended, facts, bool(turn.get("errors")))
        yield from _parts(trace, id, turn, model)
    begins = list(accumulate((began for _, (began, _) in reversed(turns)), min))[::-1]
    for number, item in enumerate(document["conversation"]):
        if item.get("kind") == "tool" and item.get("at") is not None:
            before = bisect_right(begins, item["at"])
            parent = _id(trace, f"turn {turns[before - 1][0]['number']}") if before else root
            yield _tool(trace, parent, number, item)


def latencies(document: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The figures of each turn, in seconds."""
    for turn in document["turns"]:
        latency = turn.get("latency") or {}
        if (total := latency.get("total")) is not None:
            yield "e2e_latency", total
        for part in latency.get("parts", ()):
            yield part["name"], part["seconds"]


def _about(document: Mapping[str, Any]) -> dict[str, Any]:
    usage = [one for one in document["usage"] if isinstance(one, dict)]
    models = [one for one in usage if one.get("type") == "llm_usage"]
    model = models[0] if len(models) == 1 else {}

    def tokens(name: str) -> int | None:
        found = [one[name] for one in models if isinstance(one.get(name), int)]
        return sum(found) if found else None

    return _known(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": document["agent"],
            "gen_ai.conversation.id": document["id"],
            "gen_ai.provider.name": model.get("provider"),
            "gen_ai.request.model": model.get("model"),
            "gen_ai.usage.input_tokens": tokens("input_tokens"),
            "gen_ai.usage.output_tokens": tokens("output_tokens"),
            "session.id": document["id"],
            "livekit.room.name": document["room"],
            "livekit.room.sid": document["room_sid"],
            "livekit.job.id": document["job"],
            "livekit.session.reason": document["reason"],
            "livekit.session.turns": document["counts"]["turns"],
            "livekit.session.interruptions": document["counts"]["interruptions"],
            "livekit.session.tool_errors": document["counts"]["tool_errors"],
        }
    )


def _span_of(turn: Mapping[str, Any], session: float) -> tuple[float, float]:
    """When a turn began and ended."""
    times = [
        at
        for side in ("user", "agent")
        for at in ((turn.get(side) or {}).get("started"), (turn.get(side) or {}).get("stopped"))
        if at is not None
    ]
    began = turn.get("began")
    start = min([*times, *([began] if began is not None and not times else [])], default=session)
    return start, max([*times, start])


def _parts(trace: bytes, turn_id: bytes, turn: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[SessionSpan]:
    number = turn["number"]
    for side in ("user", "agent"):
        about = turn.get(side) or {}
        start, stop = about.get("started"), about.get("stopped")
        if start is not None and stop is not None and stop >= start:
            yield SessionSpan(_id(trace, f"{number} {side}"), turn_id, f"{side} speech", start, stop, {})
    at = (turn.get("user") or {}).get("stopped")
    if at is None:
        return
    for part in (turn.get("latency") or {}).get("parts", ()):  # one after the other, as they are measured
        name, seconds = part["name"], part["seconds"]
        if name == "tools":  # they have spans of their own
            at += seconds
            continue
        attributes: dict[str, Any] = {"livekit.figure": name}
        if name == _LLM:
            attributes["gen_ai.operation.name"] = "chat"
            attributes |= model
        yield SessionSpan(_id(trace, f"{number} {name}"), turn_id, _PARTS.get(name, name), at, at + seconds, attributes)
        at += seconds


def _tool(trace: bytes, parent: bytes, number: int, item: Mapping[str, Any]) -> SessionSpan:
    name = item.get("name") or "unknown"
    attributes = _known(
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.call.id": item.get("call_id")}
    )
    start = item["at"]
    end = start + (item.get("duration") or 0.0)
    return SessionSpan(
        _id(trace, f"tool {number}"),
        parent,
        f"execute_tool {name}",
        start,
        end,
        attributes,
        item.get("is_error") is True,
    )


def _id(trace: bytes, what: str) -> bytes:
    return blake2b(trace + what.encode(), digest_size=8).digest()


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
