"""Which turn each event of a session belongs to. Pure.

A turn begins with what the user says, or with the agent where nobody asked, and lasts until the user says something new.
What names an utterance belongs where that utterance does, however late it comes; the rest belongs to the newest turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .latency import Samples
from .shelf import Shelf, weight
from .turn import NAMELESS, Reply, Stretch, Turn
from .values import Event, between, name, seconds, stamp, text

REMEMBERED = 8
"""Utterances and tool calls of a session that late events can still find: two or three turns back."""
UTTERANCES = 200
"""Utterances of the user in one turn that are kept: the newest."""
TEXT = 100_000
"""Characters of one utterance that are kept, as on the page."""

_T = TypeVar("_T")


class Turns:
    """The turns of one session, out of its events in the order of their arrival."""

    def __init__(self, samples: Samples, keep: int = 0) -> None:
        """`keep`: so many of the newest are there to be shown; 0: none, they are counted and measured only."""
        self.count = 0
        self.interruptions = 0
        self.user_seconds = 0.0
        self.agent_seconds = 0.0
        self._samples = samples
        self._kept: Shelf[Turn] = Shelf(keep, Turn.weight)
        self._keep = keep
        self._reset()

    def _reset(self) -> None:
        self._now: Turn | None = None
        self._stretch: Stretch | None = None
        """The user's newest, or of several who speak at once the one that ends last."""
        self._stretches: dict[str, Stretch] = {}
        """By who speaks, as far as that is told; those that go on."""
        self._fresh = False
        """The stretch began after the newest turn's reply had."""
        self._users: dict[str, Turn] = {}
        self._replies: dict[str, tuple[Turn, Reply]] = {}
        self._calls: dict[str, tuple[Turn, dict[str, Any]]] = {}
        self._early: dict[str, dict[str, Any]] = {}
        self._open: dict[str, str] = {}
        self._names = 0

    @property
    def forgotten(self) -> int:
        """Of those that there were, how many are no longer kept."""
        return self._kept.forgotten

    def documents(self) -> Iterator[dict[str, Any]]:
        """Those that are kept, oldest first."""
        return (turn.document() for turn in self._kept)

    def take(self, event: Event) -> None:
        """One event of the session."""
        handler = _HANDLERS.get(event["type"])
        if handler is not None:
            handler(self, event)

    def is_reply(self, event: Event) -> bool:
        """A transcript is the agent's."""
        return event.get("role") == "agent" or event.get("utterance") in self._replies

    # -- the user ------------------------------------------------------------------------------------------------------

    def user_started(self, event: Event) -> None:
        self._stretch = Stretch(stamp(event))
        _remember(self._stretches, name(event, "participant") or "", self._stretch)
        self._fresh = bool(self._now and self._now.replies)
        self._open.clear()

    def user_finished(self, event: Event) -> None:
        newest, speaker = self._stretch, name(event, "participant") or ""
        stretch = self._stretches.pop(speaker, None) or (newest if "" in self._stretches or not speaker else None)
        if newest is None or stretch is None or stretch.stopped is not None:
            return
        stretch.stopped = stamp(event)
        self.user_seconds += between(stretch.started, stretch.stopped) or 0.0
        if stretch is not newest and newest.stopped is not None:
            stretch.heard = newest.heard
            if self._now is not None and self._now.stretch is newest:
                self._now.stretch = stretch
            self._stretch = stretch

    def transcript(self, event: Event) -> None:
        if self.is_reply(event):
            self.agent_said(event)
            return
        words, final = text(event, "text"), event.get("final") is not False
        utterance = name(event, "utterance") or self._nameless(event, final)
        turn = self._users.get(utterance)
        if turn is None:
            if not words:
                return
            turn = self._of_user(event)
            _remember(self._users, utterance, turn)
            if figures := self._early.pop(utterance, None):
                turn.figures.update(figures)
        if words:
            turn.say(utterance, self._text(words), final, UTTERANCES if self._keep else REMEMBERED)
        elif final:
            turn.unsay(utterance)
        turn.participant = name(event, "participant") or turn.participant
        turn.typed = turn.typed or event.get("typed") is True

    def _nameless(self, event: Event, final: bool) -> str:
        """A name for an utterance that has none: one speaker's interims and their final share it."""
        speaker = name(event, "participant") or ""
        known = self._open.pop(speaker, None)
        if known is None:
            self._names += 1
            known = f"{NAMELESS}{self._names}"
        if not final:
            _remember(self._open, speaker, known)
        return known

    def _of_user(self, event: Event) -> Turn:
        """The turn that the user's words belong to: the newest one, unless the agent has answered that already."""
        turn, stretch = self._now, self._stretch
        # Words may come late, after the answer to them has begun: then it is known when they were spoken.
        late = turn is not None and turn.stretch is not None and not turn.heard and not self._fresh
        if turn is None or (turn.replies and not late):
            turn = self._begin(event)
        if stretch is not None and not stretch.heard:
            stretch.heard = True
            turn.stretch = stretch
        self._fresh = False
        return turn

    # -- the agent -----------------------------------------------------------------------------------------------------

    def _reply(self, event: Event) -> tuple[Turn, Reply]:
        """The agent's utterance that the event is about; it begins where it was not known."""
        utterance = name(event, "utterance")
        if utterance is not None:
            found = self._replies.get(utterance)
            if found is not None:
                return found
        elif self._now and self._now.replies:
            reply = self._now.replies[-1]
            # What begins after the end of what was heard is something else, though its words have never come.
            if not (reply.over or (reply.stopped is not None and event["type"] in _BEGINNINGS)):
                return self._now, reply
        turn = self._of_agent(event)
        reply = Reply(utterance)
        turn.replies.append(reply)
        if len(turn.replies) > REMEMBERED:
            del turn.replies[1]
        if utterance is not None:
            _remember(self._replies, utterance, (turn, reply))
            if figures := self._early.pop(utterance, None):
                reply.figures.update(figures)
        return turn, reply

    def _of_agent(self, event: Event) -> Turn:
        """The turn that the agent's doing belongs to: the newest, unless the user has spoken since it was answered."""
        turn, stretch = self._now, self._stretch
        spoken = stretch is not None and not stretch.heard and stretch.stopped is not None
        if turn is None or (spoken and self._fresh):
            turn = self._begin(event)
        if spoken and not turn.replies and stretch is not None:
            stretch.heard = True
            turn.stretch = stretch
        return turn

    def delta(self, event: Event) -> None:
        if not self._keep and event.get("utterance") in self._replies:
            return  # most of all events
        _, reply = self._reply(event)
        if not reply.said:
            delta = text(event, "delta")
            reply.text = self._text(reply.text + delta, len(delta))

    def complete(self, event: Event) -> None:
        _, reply = self._reply(event)
        if not reply.said:
            reply.text = self._text(text(event, "text"))

    def agent_started(self, event: Event) -> None:
        turn, reply = self._reply(event)
        if reply.started is not None:
            return
        reply.started = stamp(event)
        if turn.response is None and turn.replies[0] is reply and turn.stretch is not None:
            turn.response = between(turn.stretch.stopped, reply.started)
            if turn.response is not None:
                self._samples.add("response_time", turn.response)

    def agent_finished(self, event: Event) -> None:
        utterance = name(event, "utterance")
        if utterance is not None:
            found = self._replies.get(utterance)
            reply = found[1] if found else None
        else:
            reply = self._now.replies[-1] if self._now and self._now.replies else None
        if reply is None:
            return
        reply.over = reply.said or utterance is not None
        if reply.stopped is None:
            reply.stopped = stamp(event)
            reply.position = seconds(event.get("position"))
            spoken = between(reply.started, reply.stopped) if reply.position is None else reply.position
            self.agent_seconds += spoken or 0.0
        self._interrupted(reply, event)

    def agent_said(self, event: Event) -> None:
        _, reply = self._reply(event)
        reply.text = self._text(text(event, "text"))
        if event.get("final") is not False:
            reply.said = reply.over = True
        self._interrupted(reply, event)

    def _interrupted(self, reply: Reply, event: Event) -> None:
        if event.get("interrupted") is True and not reply.interrupted:
            reply.interrupted = True
            self.interruptions += 1

    # -- what else -----------------------------------------------------------------------------------------------------

    def tool_started(self, event: Event) -> None:
        call = name(event, "call_id")
        turn = self._of_agent(event)
        tool = {"call_id": call, "name": name(event, "name"), "began": stamp(event), "duration": None, "is_error": None}
        turn.tools.append(tool)
        if len(turn.tools) > REMEMBERED:
            del turn.tools[0]
        if call is not None:
            _remember(self._calls, call, (turn, tool))
        if self._keep:
            self._kept.grew(weight(tool))

    def tool_finished(self, event: Event) -> None:
        found = self._calls.pop(name(event, "call_id") or "", None)
        if found is None:
            return
        tool = found[1]
        given = seconds(event.get("duration"))
        tool["duration"] = between(tool["began"], stamp(event)) if given is None else given
        tool["is_error"] = event.get("is_error") is True

    def metrics(self, event: Event) -> None:
        """Latencies may come in several events, after later turns have begun, or before what they are about."""
        utterance = name(event, "utterance")
        for figure in _SAMPLED:
            value = seconds(event.get(figure))
            if value is not None:
                self._samples.add(figure, value)
        if not self._keep:
            return
        figures = {key: event[key] for key in _FIGURES if key in event}
        if utterance is None:
            turn = self._now
            if turn is None:
                return
            user = event.get("role") == "user" or not turn.replies
            (turn.figures if user else turn.replies[-1].figures).update(figures)
        elif utterance in self._users:
            self._users[utterance].figures.update(figures)
        elif utterance in self._replies:
            self._replies[utterance][1].figures.update(figures)
        else:
            _remember(self._early, utterance, {**self._early.get(utterance, {}), **figures})

    def false_interruption(self, event: Event) -> None:
        """The agent goes on: what sounded like speech was none, and it was not cut off."""
        self._stretch, self._fresh = None, False
        self._stretches.clear()
        found = self._replies.get(name(event, "utterance") or "")
        reply = found[1] if found else self._now.replies[-1] if self._now and self._now.replies else None
        if event.get("resumed") is True and reply is not None and reply.interrupted:
            reply.interrupted = False
            self.interruptions -= 1

    def error(self, _: Event) -> None:
        if self._now is not None:
            self._now.errors += 1

    def over(self, _: Event) -> None:
        """The session begins or ends: the utterances of what comes are other ones."""
        self._reset()

    def _begin(self, event: Event) -> Turn:
        self.count += 1
        turn = self._now = Turn(self.count, stamp(event))
        self._fresh = False
        if self._keep:
            self._kept.add(turn)
        return turn

    def _text(self, words: str, grown: int | None = None) -> str:
        """The text as far as it is kept; `grown`: how much of it is new, where it is not all."""
        if not self._keep:
            return ""
        self._kept.grew(min(len(words), TEXT) if grown is None else grown)
        return words[:TEXT]


def _remember(found: dict[str, _T], key: str, value: _T) -> None:
    found[key] = value
    if len(found) > REMEMBERED:
        del found[next(iter(found))]


_SAMPLED = (
    "e2e_latency",
    "transcription_delay",
    "end_of_turn_delay",
    "on_user_turn_completed_delay",
    "llm_node_ttft",
    "llm_node_ttfs",
    "tts_node_ttfb",
    "playback_latency",
)
_FIGURES = frozenset(_SAMPLED)
_BEGINNINGS = frozenset({"agent_speech_started", "agent_text_delta"})
_Handler = Callable[[Turns, Event], None]
_HANDLERS: dict[str, _Handler] = {
    "transcript": Turns.transcript,
    "user_speech_started": Turns.user_started,
    "user_speech_finished": Turns.user_finished,
    "agent_text_delta": Turns.delta,
    "agent_text_complete": Turns.complete,
    "agent_speech_started": Turns.agent_started,
    "agent_speech_finished": Turns.agent_finished,
    "agent_false_interruption": Turns.false_interruption,
    "tool_call_started": Turns.tool_started,
    "tool_call_finished": Turns.tool_finished,
    "turn_metrics": Turns.metrics,
    "agent_error": Turns.error,
    "session_started": Turns.over,
    "session_ended": Turns.over,
}
