"""A session's conversation as captions: who said what, from when to when. Pure: events in, text out."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

READABLE = 1.0
"""Seconds that a cue is shown at least, where the next one leaves room for it."""
_PACE = 15.0
"""Characters a second: how long a text took to say whose beginning nothing tells."""
_LATEST = 1e12
"""Timestamps above this are no epoch seconds."""
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class Cue(NamedTuple):
    """One thing said: `start` and `end` in seconds since the session's first event, who, and the words."""

    start: float
    end: float
    speaker: str
    text: str


_Begun = dict[tuple[str, str], list[float]]


class _Said(NamedTuple):
    time: float
    order: int
    speaker: str
    role: str
    text: str
    event: Mapping[str, Any]


def cues(events: Iterable[Mapping[str, Any]]) -> list[Cue]:
    """The cues of one session's `events`, which may come in any order and be any part of them, sorted by start.

    A cue is a final transcript. It begins with what began its utterance: the speech's start, or its first interim; of
    what nothing tells, with an estimate from its length. It ends with the transcript's own time. The same speaker's cues
    never overlap; two speakers' do only where they really spoke at the same time.
    """
    timed = [(stamp, order, event) for order, event in enumerate(events) if (stamp := _stamp(event)) is not None]
    if not timed:
        return []
    timed.sort(key=lambda one: one[:2])
    origin = timed[0][0]
    finals = [_Said(t - origin, order, _speaker(e), _role(e), text, e) for t, order, e in timed if (text := _final(e))]
    begun = _beginnings([(t - origin, e) for t, _, e in timed])
    last: dict[str, float] = {}
    spans = []
    for said in finals:
        since = last.get(said.speaker, 0.0)
        start = _start(said, begun, since)
        spans.append((start, said.time, said))
        last[said.speaker] = said.time
    spans.sort(key=lambda span: (span[0], span[1], span[2].order))
    return _readable(spans)


def _readable(spans: list[tuple[float, float, _Said]]) -> list[Cue]:
    """Short cues stay longer, up to the next one's start."""
    result = []
    for at, (start, end, said) in enumerate(spans):
        # One that starts in the same instant leaves no room anyway.
        later = (spans[number][0] for number in range(at + 1, len(spans)))
        following = next((begin for begin in later if begin >= end and begin > start), math.inf)
        end = max(end, min(start + READABLE, following))
        result.append(Cue(start, max(end, start + 0.001), said.speaker, said.text))
    return result


def _start(said: _Said, begun: _Begun, since: float) -> float:
    """When what was said began: not before the same speaker's last cue ended."""
    utterance = said.event.get("utterance")
    first = None
    if isinstance(utterance, str):
        times = begun.get(("utterance", utterance), [])
        first = _first(times, since, said.time)
        if first is None and times and times[0] < since:
            return since  # a later final of an utterance that has one already
        if ("speech", utterance) in begun and first is not None:
            return first
    else:
        first = _first(begun.get(("interim", said.speaker), []), since, said.time)
    before = said.time if first is None else first
    named = isinstance(said.event.get("participant"), str)
    for place in (("speaker", said.speaker) if named else ("anybody", said.role), ("unnamed", said.role)):
        starts = begun.get(place, [])
        latest = bisect_right(starts, before) - 1
        if latest >= 0 and starts[latest] >= since:
            return starts[latest]
    return first if first is not None else max(since, said.time - max(READABLE, len(said.text) / _PACE))


def _first(times: list[float], since: float, until: float) -> float | None:
    at = bisect_left(times, since)
    return times[at] if at < len(times) and times[at] <= until else None


def _beginnings(timed: list[tuple[float, Mapping[str, Any]]]) -> _Begun:
    """When something began to be said, each in order: `utterance`, all of it; `speech`, that it was heard to begin;
    `interim`, of speakers whose interims name no utterance; `speaker`, `unnamed` and `anybody`, starts of speech that
    name no utterance."""
    begun: _Begun = {}

    def note(what: str, name: str, time: float) -> None:
        begun.setdefault((what, name), []).append(time)

    for time, event in timed:
        kind = event.get("type")
        interim = kind == "transcript" and event.get("final") is False
        if not interim and kind not in ("user_speech_started", "agent_speech_started"):
            continue
        utterance = event.get("utterance")
        if isinstance(utterance, str):
            note("utterance", utterance, time)
            if not interim:
                note("speech", utterance, time)
        elif interim:
            note("interim", _speaker(event), time)
        else:
            role = "agent" if kind == "agent_speech_started" else "user"
            named = isinstance(event.get("participant"), str)
            note("speaker" if named else "unnamed", _speaker(event) if named else role, time)
            note("anybody", role, time)
    return begun


def _stamp(event: Any) -> float | None:
    stamp: Any = event.get("timestamp") if isinstance(event, Mapping) else None
    if type(stamp) not in (int, float) or not 0 <= stamp < _LATEST:
        return None
    return float(stamp)


def _role(event: Mapping[str, Any]) -> str:
    return "agent" if event.get("role") == "agent" else "user"


def _speaker(event: Mapping[str, Any]) -> str:
    name = event.get("participant")
    return _flat(name) or _role(event) if isinstance(name, str) else _role(event)


def _final(event: Mapping[str, Any]) -> str:
    """The words of a final transcript, without control characters and empty lines; else nothing."""
    if event.get("type") != "transcript" or event.get("final") is False or not isinstance(event.get("text"), str):
        return ""
    lines = (_CONTROL.sub("", line).strip() for line in event["text"].splitlines())
    return "\n".join(line for line in lines if line)


def _flat(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _times(cue: Cue, point: str) -> str:
    end = max(cue.end, round(cue.start * 1000) / 1000 + 0.001)  # not the same millisecond
    return f"{_clock(cue.start, point)} --> {_clock(end, point)}"


def srt(cues: Iterable[Cue]) -> str:
    """The cues as SubRip. It has no escapes: `<`, `{\\` and `-->` in a text become look-alikes."""
    blocks = []
    for number, cue in enumerate(cues, 1):
        text = f"{cue.speaker}: {cue.text}".replace("-->", "→").replace("<", "‹").replace("{\\", "{ \\")
        blocks.append(f"{number}\n{_times(cue, ',')}\n{text}\n")
    return "\n".join(blocks)


def vtt(cues: Iterable[Cue]) -> str:
    """The cues as WebVTT, with the speaker as its voice."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        blocks.append(f"{_times(cue, '.')}\n<v {_entities(cue.speaker)}>{_entities(cue.text)}</v>\n")
    return "\n".join(blocks)


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def txt(cues: Iterable[Cue]) -> str:
    """The cues to read: a line each, with the time, the speaker, the words."""
    return "".join(f"[{_clock(cue.start, '.')[:8]}] {cue.speaker}: {_flat(cue.text)}\n" for cue in cues)
