"""Which turn each event of a session belongs to. Pure.

A turn begins with the user's message, or with the agent if nothing was asked, and lasts until the user's next message. What
the user says in several utterances is one message until the agent reacts: it replies, calls a tool, fails, or thinks. A
typed message always begins a turn. Late events of an utterance belong to the turn of that utterance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .bounded_list import BoundedList, weight
from .fields import Event, between, latency_seconds, name, seconds, stamp, text
from .latency import RESPONSE, SAMPLED, Samples
from .turn import AgentReply, Turn
from .usage import Spending
from .utterance import REMEMBERED, AgentUtterance, Resolution, Settled, UserUtterance, remember
from .utterances import Utterances
from .waits import Waits

UTTERANCES = 200
"""Utterances of the user that are kept of one turn: the newest."""
LISTED = 100
"""Tool calls that are kept of one turn, and replies."""
TEXT = 100_000
"""Characters that are kept of one utterance, as on the page."""


class Turns:
    """The turns of one session, from its events in the order of their arrival."""

    def __init__(self, utterances: Utterances, samples: Samples, waits: Waits, keep: int = 0) -> None:
        """`keep`: how many of the newest turns are kept to be shown; with 0 they are only counted and measured."""
        self.count = 0
        self.interruptions = 0
        self.user_seconds = 0.0
        self.agent_seconds = 0.0
        self._utterances = utterances
        self._samples = samples
        self._waits = waits
        self.touched = 0
        """The number of the turn that the newest utterance, tool call or error belongs to; 0: none."""
        self._kept: BoundedList[Turn] = BoundedList(keep, Turn.weight)
        self._keep = keep
        self._listed = LISTED if keep else 8
        self.spending = Spending(turns=keep > 0)
        self.reset()

    def reset(self) -> None:
        """The session begins or ends: what follows is about other utterances."""
        self._now: Turn | None = None
        self._fresh = False
        """The user's newest speech began after the reply of the newest turn."""
        self._owners: dict[int, Turn] = {}
        """The turn of each stretch of the user's speech, by its number."""
        self._users: dict[int, Turn] = {}
        self._replies: dict[int, tuple[Turn, AgentReply]] = {}
        self._calls: dict[str, tuple[Turn, dict[str, Any]]] = {}
        self._early: dict[str, dict[str, Any]] = {}

    @property
    def forgotten(self) -> int:
        """How many turns were dropped."""
        return self._kept.forgotten

    def documents(self) -> Iterator[dict[str, Any]]:
        """The turns that are kept, oldest first."""
        return (turn.document() for turn in self._kept)

    def take(self, event: Event, resolved: Resolution | None) -> None:
        """Take one event of the session, with its resolution: what it means for which utterance."""
        self.touched = 0
        if resolved is not None:
            if resolved.settled:
                self.settle(resolved.settled)
            if isinstance(resolved.utterance, UserUtterance):
                self._user_said(event, resolved, resolved.utterance)
            elif isinstance(resolved.utterance, AgentUtterance):
                _AGENT[event["type"]](self, event, resolved.utterance)
                self._join(event, self._replies.get(resolved.utterance.number))
        else:
            handler = _OTHERS.get(event["type"])
            if handler is not None:
                handler(self, event)

    def settle(self, settled: list[Settled] | tuple[Settled, ...]) -> None:
        """Note that these utterances ended without an event of their own."""
        for utterance, fate in settled:
            if fate == "absorbed" and isinstance(utterance, UserUtterance):
                turn = self._users.pop(utterance.number, None)
                if turn is not None:
                    turn.unsay(utterance)
            elif fate == "unsaid" and (found := self._replies.get(utterance.number)) is not None:
                self._judge(*found)

    # -- the user ------------------------------------------------------------------------------------------------------

    def _user_started(self, _: Event) -> None:
        self._fresh = bool(self._now and self._now.replies)

    def _user_finished(self, _: Event) -> None:
        if (stretch := self._utterances.finished) is not None:
            self.user_seconds += between(stretch.started, stretch.stopped) or 0.0

    def _user_said(self, event: Event, resolved: Resolution, utterance: UserUtterance) -> None:
        turn = self._users.get(utterance.number)
        if resolved.drops:
            if turn is not None:
                turn.unsay(utterance)
            return
        if turn is None:
            turn = self._turn_of_user(event, utterance)
            remember(self._users, utterance.number, turn)
            if figures := self._early.pop(utterance.name or "", None):
                turn.figures.update(figures)
        self.touched = turn.number
        late = turn.speak(utterance.stretch) and bool(turn.replies)
        if utterance.stretch is not None:
            remember(self._owners, utterance.stretch.number, turn)
        final = event.get("final") is not False
        turn.say(utterance, self._text(text(event, "text")), final, UTTERANCES if self._keep else REMEMBERED)
        turn.participant = name(event, "participant") or turn.participant
        turn.speaker_id = name(event, "speaker_id") or turn.speaker_id
        if event.get("typed") is True:
            turn.typed = True
            turn.typed_at = stamp(event)
        elif not turn.replies:
            turn.typed_at = None
        if late:
            self._measure(turn)

    def _turn_of_user(self, event: Event, utterance: UserUtterance) -> Turn:
        """The turn that an utterance of the user belongs to: the newest, unless the agent has reacted to that already."""
        turn = self._now
        owner = self._owners.get(utterance.stretch.number) if utterance.stretch is not None else None
        if owner is not None and not owner.heard:
            return owner  # the words of speech that the agent has answered before they came
        if turn is None:
            return self._begin(event)
        typed = event.get("typed") is True
        # Words may come late, after the answer to them has begun: then it is known when they were spoken.
        late = bool(turn.stretches) and not turn.heard and not self._fresh
        begins = (
            (turn.replies and not late and not turn.is_ahead_of(utterance))
            or (turn.heard and turn.reacted)
            or (typed and (turn.words or turn.tools))
        )
        if begins:
            before, turn = turn, self._begin(event)
            if utterance.began is not None and before.failed_at is not None and before.failed_at >= utterance.began:
                turn.take_error_of(before)
        self._fresh = False
        return turn

    # -- the agent -----------------------------------------------------------------------------------------------------

    def _reply(self, event: Event, utterance: AgentUtterance) -> tuple[Turn, AgentReply]:
        if (found := self._replies.get(utterance.number)) is not None:
            self.touched = found[0].number
            return found
        turn = self._turn_of_agent(event)
        self.touched = turn.number
        reply = AgentReply(utterance)
        turn.answer(reply, LISTED)
        remember(self._replies, utterance.number, (turn, reply))
        if figures := self._early.pop(utterance.name or "", None):
            reply.figures.update(figures)
        return turn, reply

    def _turn_of_agent(self, event: Event) -> Turn:
        """The turn of what the agent does: the newest, unless the user has spoken since that was answered."""
        turn, stretch = self._now, self._utterances.newest_stretch()
        spoken = stretch is not None and stretch.stopped is not None and not stretch.worded
        spoken = spoken and stretch is not None and stretch.number not in self._owners
        if turn is None or (spoken and self._fresh):
            turn = self._begin(event)
        if spoken and stretch is not None and not turn.replies and not turn.heard:
            turn.speak(stretch)
            remember(self._owners, stretch.number, turn)
        return turn

    def _delta(self, event: Event, utterance: AgentUtterance) -> None:
        if not self._keep and utterance.number in self._replies:
            return  # most of all events
        turn, reply = self._reply(event, utterance)
        if not utterance.said:
            delta = text(event, "delta")
            reply.text = self._text(reply.text + delta, len(delta))
            self._written(turn, reply, event)

    def _complete(self, event: Event, utterance: AgentUtterance) -> None:
        turn, reply = self._reply(event, utterance)
        if not utterance.said:
            reply.text = self._text(text(event, "text"))
            self._written(turn, reply, event)

    def _written(self, turn: Turn, reply: AgentReply, event: Event) -> None:
        if reply.first_text is None:
            reply.first_text = stamp(event)
            if turn.typed_at is not None:
                self._measure(turn)

    def _started(self, event: Event, utterance: AgentUtterance) -> None:
        turn, reply = self._reply(event, utterance)
        if reply.started is not None:
            return
        now = self._now
        if now is not None and now is not turn and now.heard and not now.replies and reply in turn.replies:
            turn.replies.remove(reply)  # it was written ahead, and is heard after the user's next message
            turn = now
            turn.answer(reply, LISTED)
            remember(self._replies, utterance.number, (turn, reply))
        reply.started = stamp(event)
        self._measure(turn)

    def _finished(self, event: Event, utterance: AgentUtterance) -> None:
        if (found := self._replies.get(utterance.number)) is None:
            return
        turn, reply = found
        if reply.stopped is None:
            reply.stopped = stamp(event)
            reply.position = seconds(event.get("position"))
            spoken = between(reply.started, reply.stopped) if reply.position is None else reply.position
            self.agent_seconds += spoken or 0.0
        reply.interrupted = reply.interrupted or event.get("interrupted") is True
        self._judge(turn, reply)

    def _said(self, event: Event, utterance: AgentUtterance) -> None:
        turn, reply = self._reply(event, utterance)
        if not (utterance.denied or utterance.never):
            reply.text = self._text(text(event, "text"))
        reply.interrupted = reply.interrupted or event.get("interrupted") is True
        self._written(turn, reply, event)
        self._judge(turn, reply)

    def _unsaid(self, event: Event, utterance: AgentUtterance) -> None:
        self._judge(*self._reply(event, utterance))

    def _false_interruption(self, event: Event, utterance: AgentUtterance) -> None:
        """What sounded like speech was not speech, and the agent was not cut off."""
        self._no_interruption(event)
        if event.get("resumed") is True and (found := self._replies.get(utterance.number)) is not None:
            found[1].interrupted = False
            self._judge(*found)

    def _no_interruption(self, _: Event) -> None:
        self._fresh = False

    def _judge(self, turn: Turn, reply: AgentReply) -> None:
        """Update the counts for a reply: its interruption and its wait count only if it was heard."""
        heard = reply.utterance.heard
        counts = reply.interrupted and heard
        if counts != reply.counted:
            reply.counted = counts
            self.interruptions += 1 if counts else -1
        if reply.measured is not None and reply.utterance.unsaid:
            self._samples.remove("e2e_latency", reply.measured)
            self._waits.measure(turn.number, None, turn.since)
            reply.measured = None
        self._measure(turn)

    def _measure(self, turn: Turn) -> None:
        wait = turn.wait()
        if wait == turn.response:
            return
        if turn.response is not None:
            self._samples.remove(RESPONSE, turn.response)
        if wait is not None:
            self._samples.add(RESPONSE, wait, turn.since)
        self._waits.respond(turn.number, wait, turn.since)
        turn.response = wait

    # -- what else happens ---------------------------------------------------------------------------------------------

    def _react(self) -> None:
        """The agent reacts to the newest message."""
        if self._now is not None and self._now.heard:
            self._now.reacted = True

    def _agent_state(self, event: Event) -> None:
        if "thinking" in (event.get("new_state"), event.get("old_state")):
            self._react()

    def _tool_started(self, event: Event) -> None:
        call = name(event, "call_id")
        turn = self._turn_of_agent(event)
        self.touched = turn.number
        tool = {"call_id": call, "name": name(event, "name"), "began": stamp(event), "duration": None, "is_error": None}
        turn.use(tool, self._listed)
        self._join(event, (turn, tool))
        self._react()
        if call is not None:
            remember(self._calls, call, (turn, tool))
        if self._keep:
            self._kept.grew(weight(tool))

    def _tool_finished(self, event: Event) -> None:
        if (found := self._calls.pop(name(event, "call_id") or "", None)) is None:
            return
        turn, tool = found
        self.touched = turn.number
        given = seconds(event.get("duration"))
        lasted = tool["duration"] = between(tool["began"], stamp(event)) if given is None else given
        tool["is_error"] = event.get("is_error") is True
        self._samples.note("tools", lasted, stamp(event))

    def _metrics(self, event: Event) -> None:
        """Take latencies, which may come in several events, after later turns have begun, or before what they measure."""
        label = name(event, "utterance")
        utterance = self._utterances.find(label) if label is not None else None
        turn, reply = self._about(event, label, utterance.number if utterance is not None else 0)
        unsaid = reply is not None and reply.utterance.unsaid
        for figure in SAMPLED:
            value = latency_seconds(event.get(figure))
            if value is None or (unsaid and figure == "e2e_latency"):
                continue
            self._samples.add(figure, value, stamp(event))
            if turn is not None and reply is not None and figure == "e2e_latency":
                reply.measured = value
                self._waits.measure(turn.number, value, turn.since)
        if turn is not None and turn is self._now and reply is None and event.get("role") == "user":
            newest = next(reversed(turn.words), None)
            if utterance is None or utterance.number == newest:
                self._react()  # the user's message is committed
        self._join(event, (turn, reply))
        figures = {key: event[key] for key in SAMPLED if key in event}
        if not self._keep or not figures:
            return
        if reply is not None:
            reply.figures.update(figures)
        elif turn is not None:
            turn.figures.update(figures)
        elif label is not None:
            remember(self._early, label, {**self._early.get(label, {}), **figures})

    def _about(self, event: Event, label: str | None, number: int) -> tuple[Turn | None, AgentReply | None]:
        """The turn that the latencies belong to, and its reply if they are the agent's."""
        if label is None:
            turn = self._now
            if turn is None or not turn.replies or event.get("role") == "user":
                return turn, None
            return turn, turn.replies[-1]
        if number in self._replies:
            return self._replies[number]
        return self._users.get(number), None

    def _error(self, event: Event) -> None:
        if self._now is not None:
            self._now.errors += 1
            self.touched = self._now.number
            self._now.failed_at = stamp(event)
        if event.get("source") not in ("stt", "vad"):
            self._react()

    def _used(self, event: Event) -> None:
        self._kept.grew(self.spending.use(event, self._now if self._now is not None and self._now.heard else None))

    def _join(self, event: Event, found: tuple[Turn | None, object] | None) -> None:
        """What a reply was made of belongs to its turn."""
        if self._keep and found is not None and found[0] is not None:
            self._kept.grew(self.spending.join(event, found[0]))

    def _begin(self, event: Event) -> Turn:
        self.count += 1
        turn = self._now = Turn(self.count, stamp(event))
        self._fresh = False
        if self._keep:
            self._kept.add(turn)
        return turn

    def _text(self, words: str, grown: int | None = None) -> str:
        """The part of a text that is kept; `grown`: how much of it is new, if not all of it."""
        if not self._keep:
            return ""
        self._kept.grew(min(len(words), TEXT) if grown is None else grown)
        return words[:TEXT]


_AGENT: dict[str, Callable[[Turns, Event, AgentUtterance], None]] = {
    "transcript": Turns._said,
    "agent_text_delta": Turns._delta,
    "agent_text_complete": Turns._complete,
    "agent_text_unsaid": Turns._unsaid,
    "agent_speech_started": Turns._started,
    "agent_speech_finished": Turns._finished,
    "agent_false_interruption": Turns._false_interruption,
}
_OTHERS: dict[str, Callable[[Turns, Event], None]] = {
    "user_speech_started": Turns._user_started,
    "user_speech_finished": Turns._user_finished,
    "agent_false_interruption": Turns._no_interruption,
    "agent_state_changed": Turns._agent_state,
    "tool_call_started": Turns._tool_started,
    "tool_call_finished": Turns._tool_finished,
    "turn_metrics": Turns._metrics,
    "metrics_collected": Turns._used,
    "agent_error": Turns._error,
}
