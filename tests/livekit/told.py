"""What the hub has told of one session, sorted by what belongs together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Event = dict[str, Any]
T = TypeVar("T")


SOON = 1.5
"""Seconds between what the agent's side says of its audio and what the caller hears of it: the way through LiveKit, a
jitter buffer, and two cores that have other things to do. Undisturbed it is 0.2."""


def undisturbed(call: Callable[[int], T], judge: Callable[[T], None]) -> T:
    """What `call` comes to, which is told how often it was made before. `judge` raises where the machine was too busy for
    speech on time, which is then not understood either: the call is made again, three times at the most.

    Nothing else belongs into `judge`: whatever is wrong on an idle machine, too, is to fail the first time.
    """
    for number in range(2):
        done = call(number)
        try:
            judge(done)
        except (AssertionError, ValueError) as error:  # ValueError: more or less was said than was to be
            print(f"call {number} was disturbed: {error}")
        else:
            return done
    return call(2)


@dataclass(frozen=True)
class Reply:
    """One reply of the agent's, as told: all of it has the same `utterance`."""

    started: Event
    finished: Event
    transcript: Event
    """What was really said."""
    deltas: list[Event]
    text: str
    """What the model wrote."""

    def assert_heard(self, began: Event, ended: Event) -> None:
        """It is told as somebody has heard it. `began`, `ended`: what was noted then."""
        assert -0.1 <= began["time"] - self.started["timestamp"] <= SOON, self.started
        assert abs(ended["time"] - self.finished["timestamp"]) <= SOON, self.finished
        assert abs(ended["time"] - began["time"] - self.finished["position"]) <= SOON, self.finished


class Told:
    """The events of one session, in the order in which they came."""

    def __init__(self, events: list[Event], session: str) -> None:
        self.events = [event for event in events if event.get("session") == session]

    def all(self, kind: str, **fields: Any) -> list[Event]:
        return [event for event in self.events if event["type"] == kind and event.items() >= fields.items()]

    def one(self, kind: str, **fields: Any) -> Event:
        """The only one of its kind."""
        found = self.all(kind, **fields)
        assert len(found) == 1, f"{len(found)} of {kind} {fields}: {found}"
        return found[0]

    def place(self, event: Event) -> int:
        return self.events.index(event)

    def in_order(self, *events: Event) -> bool:
        places = [self.place(event) for event in events]
        return places == sorted(places)

    def finals(self) -> list[Event]:
        """What the user said, in the end."""
        return self.all("transcript", role="user", final=True)

    def replies(self) -> list[Reply]:
        """The agent's replies. Each has one of each event, no more and no less; else this fails."""
        replies = []
        for started in self.all("agent_speech_started"):
            utterance = started["utterance"]
            deltas = self.all("agent_text_delta", utterance=utterance)
            finished = self.one("agent_speech_finished", utterance=utterance)
            transcript = self.one("transcript", utterance=utterance, role="agent")
            assert self.one("agent_speech_started", utterance=utterance) is started
            assert self.in_order(started, finished, transcript), utterance
            assert transcript["final"] is True
            text = ""
            for delta in deltas:
                assert delta["offset"] == len(text), delta
                text += delta["delta"]
            replies.append(Reply(started, finished, transcript, deltas, text))
        for kind in ("agent_speech_finished", "agent_text_complete"):
            spoken = {reply.started["utterance"] for reply in replies}
            assert {event["utterance"] for event in self.all(kind)} <= spoken, kind
        return replies

    def metrics(self, event: Event) -> Event:
        """The latencies of the turn that `event` belongs to."""
        return self.one("turn_metrics", utterance=event["utterance"])
