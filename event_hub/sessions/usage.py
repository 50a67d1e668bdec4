"""What models were used for, request by request: which usage belongs to which turn. Pure.

`usage_updated` has totals of the whole session. `metrics_collected` has the usage of each request, and LiveKit names the
speech that the request was for, or, for a realtime model, the response. The agent's utterances name their speech and
responses, and so the turn is known. What names neither, such as speech recognition, which listens all the time, belongs to
no turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .fields import Event, name
from .turn import Figures, Key, Turn, as_usage, rounded

MODELS = 32
"""Models whose usage is counted request by request, in one session."""
_TIES = 256
"""Speeches and responses that are remembered of one session: the newest."""
_NOISE = 0.01
"""Seconds by which totals differ because LiveKit's and ours are rounded."""


class _Kind(NamedTuple):
    """How the metrics of a request become usage: the type of the usage, and for each of its fields, where it is."""

    usage: str
    fields: Mapping[str, tuple[str, ...]]


_SPEECH = ("input_tokens", "output_tokens", "audio_duration")
_CACHED = ("input_token_details", "cached_tokens_details")
_KINDS = {
    "llm_metrics": _Kind(
        "llm_usage",
        {
            "input_tokens": ("prompt_tokens",),
            "input_cached_tokens": ("prompt_cached_tokens",),
            "input_cache_creation_tokens": ("cache_creation_tokens",),
            "output_tokens": ("completion_tokens",),
            "output_reasoning_tokens": ("reasoning_tokens",),
        },
    ),
    "realtime_model_metrics": _Kind(
        "llm_usage",
        {
            "input_tokens": ("input_tokens",),
            "input_cached_tokens": ("input_token_details", "cached_tokens"),
            **{
                f"input_{kind}_tokens": ("input_token_details", f"{kind}_tokens") for kind in ("audio", "text", "image")
            },
            **{f"input_cached_{kind}_tokens": (*_CACHED, f"{kind}_tokens") for kind in ("audio", "text", "image")},
            "output_tokens": ("output_tokens",),
            **{f"output_{kind}_tokens": ("output_token_details", f"{kind}_tokens") for kind in ("audio", "text")},
            "session_duration": ("session_duration",),
        },
    ),
    "tts_metrics": _Kind("tts_usage", {field: (field,) for field in (*_SPEECH, "characters_count")}),
    "stt_metrics": _Kind("stt_usage", {field: (field,) for field in (*_SPEECH, "input_audio_tokens")}),
    "interruption_metrics": _Kind("interruption_usage", {"total_requests": ("num_requests",)}),
    "eot_inference_metrics": _Kind("eot_usage", {"total_requests": ("num_requests",)}),
}


class _Tie:
    """A speech or a response: the turn that it belongs to, as far as it is known, and what was used for it."""

    __slots__ = ("certain", "turn", "used")

    def __init__(self) -> None:
        self.turn: Turn | None = None
        self.certain = False
        """An utterance of the turn names it."""
        self.used: dict[Key, Figures] = {}


class Spending:
    """The usage of one session, and of each of its turns."""

    def __init__(self, turns: bool) -> None:
        """`turns`: note the usage in the turns, as `Turn.usage`. Without it, only the totals are counted."""
        self._counted: dict[Key, Figures] = {}
        self._reported: list[Any] = []
        self._turns = turns
        self._ties: OrderedDict[str, _Tie] = OrderedDict()

    def report(self, models: Any) -> None:
        """Take the totals of a `usage_updated`."""
        self._reported = models if isinstance(models, list) else []

    def use(self, event: Event, newest: Turn | None) -> int:
        """Take a `metrics_collected`; `newest`: the turn in progress, if the user has said something in it. Returns about
        how many characters a turn has grown by."""
        metrics = event.get("metrics")
        if not isinstance(metrics, dict):
            return 0
        tie = name(metrics, "request_id" if metrics.get("type") == "realtime_model_metrics" else "speech_id")
        if metrics.get("type") == "eou_metrics":
            if self._turns and tie is not None and newest is not None:
                return self._join(tie, newest, certain=False)
            return 0
        found = _usage_of(metrics)
        if found is None or (found[0] not in self._counted and len(self._counted) >= MODELS):
            return 0
        key, figures = found
        _add(self._counted.setdefault(key, {}), figures)
        if not self._turns or tie is None:
            return 0
        known = self._tie(tie)
        _add(known.used.setdefault(key, {}), figures)
        return _spend(known.turn, {key: figures}) if known.turn is not None else 0

    def join(self, event: Event, turn: Turn) -> int:
        """Take an event of an utterance of the agent in this turn: the speech and the responses that it names belong to the
        turn. Returns about how many characters the turn has grown by."""
        named = event.get("provider_request_ids")
        ties = [name(event, "speech_id"), *(named if isinstance(named, list) else ())][:_TIES]
        return sum(self._join(tie, turn, certain=True) for tie in ties if isinstance(tie, str) and tie)

    def totals(self) -> list[Any]:
        """The usage of the session, by model: what LiveKit reported, or what was counted where that is more. The report
        comes up to a second late, and not at all if the agent was killed."""
        rest = dict(self._counted)
        result = []
        for reported in self._reported:
            counted = rest.pop(_key_of(reported), None) if isinstance(reported, dict) else None
            if counted is not None:
                more = {field: value for field, value in rounded(counted) if _exceeds(value, reported.get(field))}
                reported = {**reported, **more} if more else reported
            result.append(reported)
        return [*result, *(as_usage(key, figures) for key, figures in rest.items())]

    def _join(self, tie: str, turn: Turn, *, certain: bool) -> int:
        known = self._tie(tie)
        if known.turn is turn or (known.certain and not certain):
            known.certain = known.certain or certain
            return 0
        if known.turn is not None:
            _spend(known.turn, known.used, -1)
        known.turn, known.certain = turn, certain
        return _spend(turn, known.used)

    def _tie(self, tie: str) -> _Tie:
        known = self._ties.get(tie)
        if known is None:
            known = self._ties[tie] = _Tie()
            if len(self._ties) > _TIES:
                self._ties.popitem(last=False)
        return known


class Unassigned:
    """The usage of a session that belongs to none of its turns. Give each turn's document to `take`, then ask for `usage`.

    totals: the usage of the session.
    """

    def __init__(self, totals: Iterable[Any]) -> None:
        self._totals = list(totals)
        self._assigned: dict[Key, Figures] = {}

    def take(self, turn: Mapping[str, Any]) -> None:
        for used in turn.get("usage", ()):
            _add(self._assigned.setdefault(_key_of(used), {}), dict(_figures(used)))

    def usage(self) -> list[dict[str, Any]]:
        """By model, in the form of LiveKit's usage, without models whose usage is all in turns."""
        result = []
        for total in self._totals:
            if not isinstance(total, dict):
                continue
            key = _key_of(total)
            assigned = self._assigned.get(key, {})
            left = {field: value - assigned.get(field, 0) for field, value in _figures(total)}
            left = {field: value for field, value in left.items() if value > (_NOISE if type(value) is float else 0)}
            if left:
                result.append(as_usage(key, left))
        return result


def _usage_of(metrics: Mapping[str, Any]) -> tuple[Key, Figures] | None:
    """The model and the usage of one request; None if its metrics have none."""
    kind = _KINDS.get(name(metrics, "type") or "")
    if kind is None:
        return None
    figures = {}
    for field, path in kind.fields.items():
        value: Any = metrics
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if _is_amount(value):
            figures[field] = value
    about = metrics.get("metadata")
    about = about if isinstance(about, dict) else {}
    key = kind.usage, (name(about, "model_provider") or "")[:128], (name(about, "model_name") or "")[:128]
    return (key, figures) if figures else None


def _spend(turn: Turn, used: Mapping[Key, Figures], sign: int = 1) -> int:
    """Add to what a turn has used, or take it away; returns about how many characters it has grown by."""
    before = len(turn.usage)
    for key, figures in used.items():
        _add(turn.usage.setdefault(key, {}), figures, sign)
        if sign < 0 and not any(value > 1e-9 for value in turn.usage[key].values()):
            del turn.usage[key]
    return 200 * max(0, len(turn.usage) - before)


def _add(total: Figures, figures: Mapping[str, float], sign: int = 1) -> None:
    for field, value in figures.items():
        total[field] = total.get(field, 0) + sign * value


def _exceeds(value: float, reported: Any) -> bool:
    return not _is_amount(reported) or value > reported + (_NOISE if type(value) is float else 0)


def _figures(usage: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    return ((field, value) for field, value in usage.items() if _is_amount(value))


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 1e15


def _key_of(usage: Mapping[str, Any]) -> Key:
    return name(usage, "type") or "", name(usage, "provider") or "", name(usage, "model") or ""
