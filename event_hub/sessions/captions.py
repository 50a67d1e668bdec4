"""A session's conversation as captions: who said what, from when to when. Pure: events in, text out."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from .fields import CONTROL, Event, name, speaker, stamp, text
from .utterance import Stretch, UserUtterance, Utterance
from .utterances import Utterances

READABLE = 1.0
"""A cue is shown for at least this many seconds, if the next one leaves room for it."""
PACE = 15.0
"""Characters a second: an estimate of how long a text took to say, if nothing reports when it began. The page's captions
use the same pace."""
TYPES = frozenset(
    {
        "transcript",
        "user_speech_started",
        "user_speech_finished",
        "agent_speech_started",
        "agent_speech_finished",
        "agent_false_interruption",
        "agent_text_unsaid",
        "session_started",
        "session_ended",
    }
)
"""The events that captions are made of."""
FIELDS = (
    "type", "timestamp", "participant", "role", "speaker_id", "utterance", "text", "final", "began", "interrupted",
    "position", "resumed", "typed",
)  # fmt: skip
"""The fields of those events that captions need."""
KEPT = 20_000
"""Events that are kept of one session for its captions: the newest."""
_SIZE = 4_000_000
"""Characters of those events that are kept."""


class Cue(NamedTuple):
    """One utterance: `start` and `end` in seconds since the session's first event, who, and the words."""

    start: float
    end: float
    speaker: str
    text: str


class Spoken:
    """The part of a session's events that its captions need.

    named: the session has a name. Then an event that names only its room, such as a webhook's, is not its beginning, so
    that the captions are those of `event-hub export --session`.
    """

    def __init__(self, named: bool = False) -> None:
        self._named = named
        self._kept: deque[dict[str, Any]] = deque()
        self._utterances = Utterances()
        self._first: float | None = None
        self._size = 0

    def take(self, event: Event) -> None:
        """Take one event of the session. Events come in the order of their arrival."""
        needed, at = event["type"] in TYPES, stamp(event)
        if at is not None and (needed or not self._named or name(event, "session") is not None):
            self._first = at if self._first is None else min(self._first, at)
        if not needed:
            return
        if event["type"] in ("session_started", "session_ended"):
            self._utterances.reset()
        resolved = self._utterances.take(event)
        if event["type"] == "transcript" and event.get("final") is False and not (resolved and resolved.opens):
            return  # of the interims of an utterance only the first matters: it begins there
        self._kept.append({field: event[field] for field in FIELDS if event.get(field) is not None})
        self._size += len(text(event, "text"))
        while len(self._kept) > KEPT or self._size > _SIZE:
            self._size -= len(text(self._kept.popleft(), "text"))

    def events(self) -> list[dict[str, Any]]:
        """The events, as `captions` takes them."""
        return [{"type": "", "timestamp": self._first}, *self._kept]


class _Line:
    """What is known of one utterance: its words, and when they were said."""

    __slots__ = ("end", "order", "speaker", "start", "stopped", "stretch", "text", "utterance")

    def __init__(self, utterance: Utterance, order: int) -> None:
        self.utterance = utterance
        self.order = order
        self.start: float | None = None
        self.end = 0.0
        self.stopped: float | None = None
        self.stretch: Stretch | None = None
        self.speaker = ""
        self.text = ""


class Captions(NamedTuple):
    """What was said in a session, and the epoch seconds from which its times are counted; None without any event."""

    origin: float | None
    lines: list[_Line]

    @property
    def cues(self) -> list[Cue]:
        """The cues, in the order of their start."""
        return together([self])

    def speech(self) -> Iterator[dict[str, Any]]:
        """What was audible, utterance by utterance: `role`, `utterance`, `text`, and when its speech `began` and `stopped`
        (epoch seconds; None: nothing reports that)."""
        for line in sorted(self.lines, key=lambda line: (line.start or 0.0, line.order)):
            stretch = line.stretch
            yield {
                "role": line.utterance.role,
                "utterance": line.utterance.name,
                "text": line.text,
                "began": line.start if stretch is None else stretch.started,
                "stopped": line.stopped if stretch is None else stretch.stopped,
            }


def captions(events: Iterable[Any], names: Mapping[str, str] | None = None) -> Captions:
    """The captions of one session's `events`, which may come in any order and be any part of them.

    A cue is an utterance with a final transcript that was heard. It begins where its utterance began; if nothing reports
    that, at an estimate from its length. It ends with the speech, or else with the final transcript. The cues of one speaker
    never overlap; those of two speakers do only if they spoke at the same time.

    names: what to call a `speaker_id`, or a participant.
    """
    timed = [(at, order, event) for order, event in enumerate(events) if (at := _stamp(event)) is not None]
    if not timed:
        return Captions(None, [])
    timed.sort(key=itemgetter(0, 1))
    origin = timed[0][0]
    lines: dict[int, _Line] = {}
    utterances = Utterances()
    for at, order, event in timed:
        kind = event.get("type")
        if kind == "session_started" or kind == "session_ended":
            utterances.reset()
        if not isinstance(kind, str) or kind not in TYPES:
            continue
        resolved = utterances.take(event)
        if resolved is None or resolved.drops:
            continue
        utterance = resolved.utterance
        line = lines.get(utterance.number)
        if line is None:
            line = lines[utterance.number] = _Line(utterance, order)
        _note(line, event, at, names)
    said = [line for line in lines.values() if line.text and line.utterance.heard]
    return Captions(origin, said)


def cues(events: Iterable[Any], names: Mapping[str, str] | None = None) -> list[Cue]:
    """The cues of one session's events, in the order of their start: see `captions`."""
    return captions(events, names).cues


def together(sessions: Iterable[Captions]) -> list[Cue]:
    """The cues of several sessions, such as those of one room, merged; times count from the beginning of the first."""
    known = [session for session in sessions if session.origin is not None]
    origin = min((session.origin or 0.0 for session in known), default=0.0)
    spans = [_Span(line, number, origin) for number, session in enumerate(known) for line in session.lines]
    return _cues(spans)


def _note(line: _Line, event: Event, at: float, names: Mapping[str, str] | None) -> None:
    """Note in the line what this event says about it."""
    kind, utterance = event["type"], line.utterance
    if isinstance(utterance, UserUtterance):
        line.stretch = utterance.stretch
    if kind == "agent_speech_finished":
        line.stopped = at
    if kind != "transcript":
        line.start = utterance.began
        return
    if event.get("final") is False:
        line.start = utterance.began
        return
    words = _words(event)
    if words:
        if utterance.began is not None and (line.text or utterance.began < at):
            line.start = utterance.began
        line.text, line.end, line.speaker = words, at, _flat(speaker(event, names)) or utterance.role


class _Span:
    """When a line was said, in seconds since the origin; a start that nothing reports is None at first."""

    __slots__ = ("end", "line", "order", "start", "who")

    def __init__(self, line: _Line, session: int, origin: float) -> None:
        self.line = line
        self.who = session, line.speaker
        self.order = session, line.order
        end, start = line.end, line.start
        stopped = line.stretch.stopped if line.stretch is not None else line.stopped
        if stopped is not None and start is not None and start < stopped < end:
            end = stopped
        self.end = end - origin
        self.start = None if start is None else max(0.0, start - origin)


def _cues(spans: list[_Span]) -> list[Cue]:
    """The cues of these lines, without overlaps of one speaker, and long enough to be read."""
    known = sorted(span.start for span in spans if span.start is not None)
    ended = 0.0
    for span in sorted(spans, key=lambda span: (span.end, span.order)):
        if span.start is None:
            # An estimate must not change the order in which things were said.
            begun = known[at - 1] if (at := bisect_right(known, span.end)) else 0.0
            span.start = max(min(ended, span.end), begun, span.end - max(READABLE, len(span.line.text) / PACE))
        ended = max(ended, span.end)
    ordered = sorted(spans, key=lambda span: (span.start or 0.0, span.end, span.order))
    newest: dict[tuple[int, str], int] = {}
    times = [[span.start or 0.0, max(span.start or 0.0, span.end)] for span in ordered]
    for at, span in enumerate(ordered):
        before = newest.get(span.who)
        if before is not None and times[before][1] > times[at][0]:
            if times[before][0] < times[at][0]:
                times[before][1] = times[at][0]
            else:
                times[at] = [times[before][1], max(times[before][1], times[at][1])]
        newest[span.who] = at
    order = sorted(range(len(ordered)), key=lambda at: (times[at][0], times[at][1], ordered[at].order))
    return _readable([(times[at][0], times[at][1], ordered[at].line) for at in order])


def _readable(spans: list[tuple[float, float, _Line]]) -> list[Cue]:
    """Short cues stay longer, up to the next one's start."""
    result = []
    for at, (start, end, line) in enumerate(spans):
        # A cue that starts at the same instant leaves no room anyway.
        later = (spans[number][0] for number in range(at + 1, len(spans)))
        following = next((begin for begin in later if begin >= end and begin > start), math.inf)
        end = max(end, min(start + READABLE, following))
        result.append(Cue(start, max(end, start + 0.001), line.speaker, line.text))
    return result


def _stamp(event: Any) -> float | None:
    return stamp(event) if isinstance(event, Mapping) else None


def _words(event: Event) -> str:
    """The words of a transcript, without control characters or empty lines."""
    lines = (CONTROL.sub("", line).strip() for line in text(event, "text").splitlines())
    return "\n".join(line for line in lines if line)


def _flat(text: str) -> str:
    return " ".join(CONTROL.sub(" ", text).split())


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _span(cue: Cue, point: str) -> str:
    end = max(cue.end, round(cue.start * 1000) / 1000 + 0.001)  # never the millisecond in which it starts
    return f"{_clock(cue.start, point)} --> {_clock(end, point)}"


def srt(cues: Iterable[Cue]) -> str:
    """The cues as SubRip. It has no escapes: `<`, `{\\` and `-->` in a text become look-alikes."""
    blocks = []
    for number, cue in enumerate(cues, 1):
        text = f"{cue.speaker}: {cue.text}".replace("-->", "→").replace("<", "‹").replace("{\\", "{ \\")
        blocks.append(f"{number}\n{_span(cue, ',')}\n{text}\n")
    return "\n".join(blocks)


def vtt(cues: Iterable[Cue]) -> str:
    """The cues as WebVTT, with the speaker as its voice."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        blocks.append(f"{_span(cue, '.')}\n<v {_entities(cue.speaker)}>{_entities(cue.text)}</v>\n")
    return "\n".join(blocks)


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def txt(cues: Iterable[Cue]) -> str:
    """The cues as text to read: a line each, with the time, the speaker and the words."""
    return "".join(f"[{_clock(cue.start, '.')[:8]}] {cue.speaker}: {_flat(cue.text)}\n" for cue in cues)


FORMS = {"srt": srt, "vtt": vtt, "txt": txt}
"""The formats of captions, by file suffix."""
