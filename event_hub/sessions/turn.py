"""One turn: what the user said, how the agent answered, and how long that took. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .bounded_list import weight
from .fields import between, latency_seconds
from .latency import breakdown, union
from .utterance import AgentUtterance, Stretch, UserUtterance

STRETCHES = 16
"""Stretches of speech that are kept of one turn: the first, and the newest."""

Key = tuple[str, str, str]
"""What usage is of: type, provider and model."""
Figures = dict[str, float]
"""Amounts under the names of LiveKit's usage."""


class AgentReply:
    """One utterance of the agent, as part of a turn."""

    __slots__ = (
        "counted", "figures", "first_text", "interrupted", "measured", "position", "started", "stopped", "text",
        "utterance",
    )  # fmt: skip

    def __init__(self, utterance: AgentUtterance) -> None:
        self.utterance = utterance
        self.first_text: float | None = None
        """When its text was first seen."""
        self.started: float | None = None
        self.stopped: float | None = None
        self.position: float | None = None
        self.text = ""
        self.interrupted = False
        self.counted = False
        """It is one of the session's interruptions."""
        self.figures: dict[str, Any] = {}
        self.measured: float | None = None
        """Its `e2e_latency`, where that is among the session's samples."""


class Turn:
    """One exchange: the user speaks, and the agent replies."""

    __slots__ = (
        "errors", "failed_at", "figures", "finals", "left_out", "number", "participant", "reacted", "replies", "response",
        "since", "speaker_id", "stretches", "tools", "typed", "typed_at", "usage", "words",
    )  # fmt: skip

    def __init__(self, number: int, since: float | None) -> None:
        self.number = number
        self.since = since
        """The timestamp of the event that began it."""
        self.stretches: list[Stretch] = []
        """The user's speech that is part of it."""
        self.words: dict[int, tuple[UserUtterance, str]] = {}
        """What the user said, by the utterance's number."""
        self.finals = 0
        self.participant: str | None = None
        self.speaker_id: str | None = None
        self.typed = False
        self.typed_at: float | None = None
        """When the message that the agent answers was typed; None if it was spoken."""
        self.reacted = False
        """The agent has reacted to what the user said."""
        self.figures: dict[str, Any] = {}
        self.replies: list[AgentReply] = []
        self.tools: list[dict[str, Any]] = []
        self.left_out: dict[str, int] = {}
        self.errors = 0
        self.failed_at: float | None = None
        """When the newest error came."""
        self.response: float | None = None
        self.usage: dict[Key, Figures] = {}
        """What its replies used."""

    @property
    def heard(self) -> bool:
        """A final transcript of the user is part of it."""
        return self.finals > 0

    def say(self, utterance: UserUtterance, words: str, final: bool, limit: int) -> None:
        """What the user says in one utterance; the oldest beyond `limit` is left out."""
        self.finals += final and utterance.finals == 1
        self.words[utterance.number] = (utterance, words)
        if len(self.words) > limit:
            del self.words[next(iter(self.words))]
            self._leave_out("utterances")

    def unsay(self, utterance: UserUtterance) -> None:
        """Remove the words of an utterance: there were none, or they belong to another utterance."""
        self.words.pop(utterance.number, None)

    def speak(self, stretch: Stretch | None) -> bool:
        """The user's words, or the agent's answer, belong to this speech. Returns whether that is new."""
        if stretch is None or stretch in self.stretches:
            return False
        self.stretches.append(stretch)
        if len(self.stretches) > STRETCHES:
            del self.stretches[1]
        return True

    def is_ahead_of(self, utterance: UserUtterance) -> bool:
        """The agent has only generated text so far, while the user continues the same speech."""
        same = utterance.stretch is not None and utterance.stretch in self.stretches
        return same and self.first_answer is None

    def take_error_of(self, before: Turn) -> None:
        """The newest error of the turn before answered this one: LiveKit reports a typed message after it."""
        before.errors -= 1
        self.errors, self.failed_at, self.reacted = 1, before.failed_at, True
        before.failed_at = None

    def answer(self, reply: AgentReply, limit: int) -> None:
        """Add a reply; beyond `limit`, the oldest one after the first is left out."""
        self.replies.append(reply)
        if len(self.replies) > limit:
            del self.replies[1]
            self._leave_out("replies")

    def use(self, tool: dict[str, Any], limit: int) -> None:
        """Add a tool call; beyond `limit`, the oldest is left out."""
        self.tools.append(tool)
        if len(self.tools) > limit:
            del self.tools[0]
            self._leave_out("tools")

    def _leave_out(self, what: str) -> None:
        self.left_out[what] = self.left_out.get(what, 0) + 1

    def weight(self) -> int:
        """About how many characters it takes as JSON."""
        said = sum(len(words) + len(utterance.name or "") + 10 for utterance, words in self.words.values())
        answered = sum(len(reply.text) + len(reply.utterance.name or "") for reply in self.replies)
        return said + answered + sum(map(weight, self.tools)) + 200 * len(self.usage) + 500

    # -- how long it took ----------------------------------------------------------------------------------------------

    @property
    def first_answer(self) -> AgentReply | None:
        """The first reply that was heard or read."""
        return next((reply for reply in self.replies if reply.utterance.heard), None)

    def wait(self) -> float | None:
        """Seconds from the end of what the agent answers until its answer, by the events."""
        reply = self.first_answer
        if reply is None:
            return None
        if self.typed_at is not None:
            answered = reply.first_text if reply.started is None else reply.started
            return latency_seconds(between(self.typed_at, answered))
        stretch = self._answered_stretch(reply.started)
        return latency_seconds(between(stretch.stopped, reply.started)) if stretch is not None else None

    def _answered_stretch(self, answered: float | None) -> Stretch | None:
        """The speech that was answered at that time: the last one with words that was over."""
        over = [one for one in self.stretches if one.stopped is not None]
        before = [one for one in over if answered is None or (one.stopped or 0.0) <= answered]
        worded = [one for one in before if one.worded]
        return max(worded or before or over, key=lambda one: one.stopped or 0.0, default=None)

    def latency(self) -> dict[str, Any] | None:
        """The latency of its first answer: see `latency.breakdown`."""
        heard = [reply for reply in self.replies if reply.utterance.heard]
        with_figures = [reply for reply in heard if reply.figures]
        measured = next(
            (one for one in with_figures if latency_seconds(one.figures.get("e2e_latency")) is not None), None
        )
        reply = measured or next(iter(with_figures), None)
        figures: dict[str, Any] = {**self.figures, **(reply.figures if reply else {})}
        figures["tools"] = self._tools_before(reply or next(iter(heard), None))
        if measured:
            return breakdown(latency_seconds(figures["e2e_latency"]), "e2e_latency", figures)
        return breakdown(self.response, "events", figures)

    def _tools_before(self, reply: AgentReply | None) -> float | None:
        """Seconds during which tools ran between the user's speech and the reply; None if none did, or if it is unknown."""
        if reply is None:
            return None
        until = reply.started
        if until is None and self.typed_at is not None:
            until = reply.first_text
        if until is None:
            return None
        stretch = self._answered_stretch(until)
        since = self.typed_at if self.typed_at is not None else stretch.stopped if stretch is not None else None
        spans = [
            (tool["began"], tool["began"] + tool["duration"])
            for tool in self.tools
            if tool["began"] is not None and tool.get("duration") is not None
        ]
        covered = union([(max(begin, since or begin), min(end, until)) for begin, end in spans if begin < until])
        return covered or None

    # -- what the API shows --------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """The turn as plain values; what is not known is absent."""
        said = list(self.words.values())
        spoken = " ".join(words for _, words in said if words)
        answer = self.first_answer
        stretch = self._answered_stretch(answer.started if answer is not None else None)
        worded = [one for one in self.stretches if one.worded] or self.stretches
        open = any(utterance.open for utterance, _ in said)
        user = {
            "text": spoken,
            "participant": self.participant,
            "speaker_id": self.speaker_id,
            "started": min((one.started for one in worded if one.started is not None), default=None),
            "stopped": stretch.stopped if stretch is not None else None,
            "typed": self.typed or None,
            "final": (self.heard or not open) if said else None,
        }
        names = [*(utterance.name for utterance, _ in said), *(reply.utterance.name for reply in self.replies)]
        return _known(
            number=self.number,
            began=self.since,
            user=_known(**user) if spoken or self.stretches else None,
            agent=self._agent(),
            utterances=[one for one in names if one] or None,
            tools=[_known(**{key: value for key, value in tool.items() if key != "began"}) for tool in self.tools]
            or None,
            errors=self.errors or None,
            left_out=self.left_out or None,
            usage=[as_usage(key, figures) for key, figures in self.usage.items()] or None,
            latency=self.latency(),
        )

    def _agent(self) -> dict[str, Any] | None:
        replies = [reply for reply in self.replies if not reply.utterance.unsaid]
        if not replies:
            return None
        return _known(
            text=" ".join(self._texts()),
            started=next((reply.started for reply in replies if reply.started is not None), None),
            stopped=replies[-1].stopped,
            interrupted=any(reply.interrupted for reply in replies),
        )

    def _texts(self) -> Iterator[str]:
        """What was heard of the replies, with an ellipsis for those that were left out."""
        for number, reply in enumerate(self.replies):
            if number == 1 and self.left_out.get("replies"):
                yield "…"
            if reply.text and reply.utterance.heard:
                yield reply.text


def as_usage(key: Key, figures: Figures) -> dict[str, Any]:
    """Figures in the form of LiveKit's usage."""
    about = zip(("type", "provider", "model"), key, strict=True)
    return {**{field: text for field, text in about if text}, **dict(rounded(figures))}


def rounded(figures: Figures) -> Iterator[tuple[str, float]]:
    """The figures that are not 0; seconds to a millisecond."""
    return ((field, round(value, 3) if type(value) is float else value) for field, value in figures.items() if value)


def _known(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
