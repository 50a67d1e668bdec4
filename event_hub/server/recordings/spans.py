"""Spans as they are kept: compact, with the attributes of an allow-list. Pure.

Most attributes of LiveKit's spans are figures and ids, but some contain the conversation, the whole prompt in every step, or
paths of the agent's machine, and not all of these are marked as personal. So only what is listed here is kept, unless
HUB_TRACE_CONTENT asks for everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

_LONGEST = 256
"""Characters of a text that is kept: ids and names."""
_LONGEST_CONTENT = 16_384
_MOST = 64
"""Attributes of a span, values in a list, and events of a span that are kept."""
METRICS = ("lk.llm_metrics", "lk.tts_metrics", "lk.realtime_model_metrics")
"""The attributes with LiveKit's metrics of a request."""
_JSON = frozenset({*METRICS, "lk.stt.events"})
"""Figures that LiveKit writes as JSON."""
_LONGEST_JSON = 4_096

KEPT = _JSON | frozenset(
    (
        # the job, the session and its parts
        "lk.job_id", "lk.room_sid", "lk.dispatch_id", "lk.job.worker_id", "lk.job.agent_id", "lk.agent_name",
        "lk.agent_label", "lk.job.accept_latency", "lk.job.assignment_latency", "lk.job.launch_latency",
        "lk.job.entrypoint_latency", "lk.job.dispatch_latency", "lk.participant_id", "lk.participant_kind",
        "lk.disconnect_reason", "lk.track_sid", "lk.first_frame_delay", "lk.room.auto_subscribe", "lk.room.e2ee",
        "lk.close_reason", "lk.close.drain", "lk.shutdown.reason", "lk.user_initiated", "user_initiated",
        "lk.callback.name", "lk.old_state", "lk.new_state",
        # turns
        "lk.speech_id", "lk.generation_id", "lk.generation_count", "lk.speech.queue_wait", "lk.interrupted",
        "lk.interruption.source", "lk.playout.position", "lk.e2e_latency", "lk.end_of_turn_delay",
        "lk.transcription_delay", "lk.on_user_turn_completed_delay", "lk.transcript_confidence", "lk.eou.source",
        "lk.eou.outcome", "lk.eou.wait_duration", "lk.eou.endpointing_delay", "lk.eou.rearm_count",
        "lk.eou.not_committed_count", "lk.eou.probability", "lk.blocking.count", "lk.blocking.total_duration",
        "lk.blocking.max_duration", "lk.blocking.duration", "lk.blocking.severity",
        # models and tools
        "lk.response.ttft", "lk.response.ttfb", "lk.retry_count", "lk.provider_request_ids", "lk.function_tools",
        "lk.function_tool.id", "lk.function_tool.name", "lk.function_tool.is_error", "lk.tts.label",
        "lk.tts.streaming",
        # OpenTelemetry's conventions for models and HTTP
        "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.system", "gen_ai.request.model",
        "gen_ai.response.model", "gen_ai.response.id", "gen_ai.response.finish_reasons",
        "gen_ai.response.time_to_first_chunk", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens",
        "gen_ai.usage.cached_tokens", "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.audio.input_tokens",
        "gen_ai.usage.audio.output_tokens", "gen_ai.usage.reasoning.output_tokens", "gen_ai.agent.name",
        "gen_ai.tool.name", "gen_ai.tool.type",
        "gen_ai.tool.call.id", "gen_ai.workflow.name", "error.type", "exception.type", "http.request.method",
        "http.response.status_code", "server.address", "server.port", "db.system.name", "rpc.system", "rpc.method",
    )
)  # fmt: skip
"""The attributes of spans, and of their events, that are kept."""


class SpanEvent(msgspec.Struct, omit_defaults=True):
    """Something that happened during a span; `at` in epoch seconds."""

    name: str
    at: float
    attributes: dict[str, Any] = {}


class Span(msgspec.Struct, omit_defaults=True):
    """One span; `start` and `end` in epoch seconds. `parent`: None for a root. `error`: it failed."""

    trace: str
    id: str
    name: str
    start: float
    end: float
    parent: str | None = None
    scope: str | None = None
    error: bool = False
    attributes: dict[str, Any] = {}
    events: list[SpanEvent] = []


def kept(attributes: Iterable[tuple[str, Any]], content: bool) -> dict[str, Any]:
    """Those of `attributes` that are kept. `content`: all of them, long texts shortened."""
    result: dict[str, Any] = {}
    for name, value in attributes:
        if len(result) >= _MOST:
            break
        if not content and name not in KEPT:
            continue
        longest = _LONGEST_CONTENT if content else _LONGEST_JSON if name in _JSON else _LONGEST
        if (short := _short(value, longest)) is not None:
            result[name[:_LONGEST]] = short
    return result


def _short(value: Any, longest: int) -> Any:
    """`value` if it is short enough to keep, shortened if it is a text; None for what cannot be kept."""
    if isinstance(value, str):
        return value if len(value) <= longest else value[: longest - 1] + "…"
    if isinstance(value, bool | int | float):
        return value if value == value and value not in (float("inf"), float("-inf")) else None
    if isinstance(value, list):
        return [short for item in value[:_MOST] if (short := _short(item, longest)) is not None]
    if isinstance(value, dict):
        return {str(name)[:_LONGEST]: _short(item, longest) for name, item in list(value.items())[:_MOST]}
    return None
