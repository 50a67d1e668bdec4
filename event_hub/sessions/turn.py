"""One turn: what the user said, what the agent did about it and answered, and how long that took. Pure."""

from __future__ import annotations

from typing import Any

from .latency import breakdown, union
from .shelf import weight
from .values import seconds

NAMELESS = "\0"
"""How an utterance begins that has no name of its own."""


class Stretch:
    """The user's speech from its start to its finish, as far as both are known."""

    __slots__ = ("heard", "started", "stopped")

    def __init__(self, started: float | None) -> None:
        self.started = started
        self.stopped: float | None = None
        self.heard = False
        """Something that was said in it has a place in a turn."""


class Reply:
    """One utterance of the agent."""

    __slots__ = ("figures", "interrupted", "over", "position", "said", "started", "stopped", "text", "utterance")

    def __init__(self, utterance: str | None) -> None:
        self.utterance = utterance
        self.started: float | None = None
        self.stopped: float | None = None
        self.text = ""
        self.said = self.over = self.interrupted = False
        self.position: float | None = None
        self.figures: dict[str, Any] = {}


class Turn:
    """One exchange of the floor."""

    __slots__ = (
        "_finals", "errors", "figures", "number", "participant", "replies", "response", "since", "stretch", "tools",
        "typed", "words",
    )  # fmt: skip

    def __init__(self, number: int, since: float | None) -> None:
        self.number = number
        self.since = since
        """The timestamp of the event that began it."""
        self.stretch: Stretch | None = None
        """The newest that is part of it."""
        self.words: dict[str, tuple[str, bool]] = {}
        """What the user said in it, by utterance: the text, and whether that is final; the newest."""
        self._finals = 0
        self.participant: str | None = None
        self.typed = False
        self.figures: dict[str, Any] = {}
        self.replies: list[Reply] = []
        self.tools: list[dict[str, Any]] = []
        self.errors = 0
        self.response: float | None = None

    @property
    def heard(self) -> bool:
        """A final transcript of the user is part of it."""
        return self._finals > 0

    def say(self, utterance: str, words: str, final: bool, limit: int) -> None:
        """What the user says in one utterance; the oldest beyond `limit` is given up."""
        before = self.words.get(utterance)
        self.words[utterance] = (words, final)
        self._finals += final - (before is not None and before[1])
        if len(self.words) > limit:
            del self.words[next(iter(self.words))]

    def unsay(self, utterance: str) -> None:
        """What sounded like speech was none."""
        before = self.words.pop(utterance, None)
        self._finals -= before is not None and before[1]

    def weight(self) -> int:
        """About how many characters it takes as JSON."""
        said = sum(len(words) + len(utterance) + 10 for utterance, (words, _) in self.words.items())
        answered = sum(len(reply.text) + len(reply.utterance or "") for reply in self.replies)
        return said + answered + sum(map(weight, self.tools)) + 500

    def document(self) -> dict[str, Any]:
        """As the API gives it; what is not known is absent."""
        spoken = " ".join(words for words, _ in self.words.values() if words)
        stretch = self.stretch
        user = {
            "text": spoken,
            "participant": self.participant,
            "started": stretch.started if stretch else None,
            "stopped": stretch.stopped if stretch else None,
            "typed": self.typed or None,
            "final": self.heard if self.words else None,
        }
        first, last = (self.replies[0], self.replies[-1]) if self.replies else (None, None)
        agent = first and last and {
            "text": " ".join(reply.text for reply in self.replies if reply.text),
            "started": next((reply.started for reply in self.replies if reply.started is not None), None),
            "stopped": last.stopped,
            "interrupted": any(reply.interrupted for reply in self.replies),
        }  # fmt: skip
        utterances = [
            *(one for one in self.words if not one.startswith(NAMELESS)),
            *(r.utterance for r in self.replies),
        ]
        return _known(
            number=self.number,
            began=self.since,
            user=_known(**user) if spoken or stretch else None,
            agent=_known(**agent) if agent else None,
            utterances=[one for one in utterances if one] or None,
            tools=[_known(**{key: value for key, value in tool.items() if key != "began"}) for tool in self.tools]
            or None,
            errors=self.errors or None,
            latency=self.latency(),
        )

    def latency(self) -> dict[str, Any] | None:
        """Of its first answer: see `latency.breakdown`."""
        replies = [reply for reply in self.replies if reply.figures]
        measured = next((reply for reply in replies if seconds(reply.figures.get("e2e_latency")) is not None), None)
        reply = measured or (replies[0] if replies else None)
        figures: dict[str, Any] = {**self.figures, **(reply.figures if reply else {})}
        figures["tools"] = self._tools_before(reply or (self.replies[0] if self.replies else None))
        if measured:
            return breakdown(seconds(figures["e2e_latency"]), "e2e_latency", figures)
        return breakdown(self.response, "events", figures)

    def _tools_before(self, reply: Reply | None) -> float | None:
        """Seconds in which tools ran before the reply was heard, of those after the user had spoken; None where none did,
        or nobody knows when."""
        until = reply.started if reply else None
        since = self.stretch.stopped if self.stretch else None
        spans = [
            (tool["began"], tool["began"] + tool["duration"])
            for tool in self.tools
            if tool["began"] is not None and tool.get("duration") is not None
        ]
        if until is None:
            return None
        covered = union([(max(begin, since or begin), min(end, until)) for begin, end in spans if begin < until])
        return covered or None


def _known(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
