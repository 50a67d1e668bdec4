"""Streams of events as Hypothesis makes them up (what publishers may post, in any order that they may come in) or as a
test writes them down, and what they add up to."""

from __future__ import annotations

from itertools import count
from typing import Any

from hypothesis import strategies as st

from event_hub.events import InvalidEvent, check
from event_hub.sessions import Session, Sessions, Spoken, replay_into

Event = dict[str, Any]

_UTTERANCES = ["a1", "a2", "u1", "u2", None]
_WORDS = st.sampled_from(["", "yes", "What is it?", "It is sunny. 😀", " "])
_SECONDS = st.one_of(st.sampled_from([0, 0.0, 0.25, 1, 3.5]), st.floats(0, 1e9))
_MAYBE = st.sampled_from([True, False, None])
_STATES = st.sampled_from(["listening", "thinking", "speaking", "away"])


def _kinds(transcripts_only: bool = False) -> st.SearchStrategy[Event]:
    def event(type: str, **fields: Any) -> st.SearchStrategy[Event]:
        return st.fixed_dictionaries({"type": st.just(type), **fields})

    name = st.sampled_from(_UTTERANCES)
    user = {"role": st.sampled_from(["user", None]), "utterance": name}
    agent = {"role": st.just("agent"), "utterance": name}
    figures = {
        figure: st.one_of(st.none(), _SECONDS)
        for figure in ("e2e_latency", "end_of_turn_delay", "llm_node_ttft", "tts_node_ttfb", "playback_latency")
    }
    call = st.sampled_from(["c1", "c2"])
    said = [
        event("transcript", text=_WORDS, final=_MAYBE, participant=st.sampled_from(["ada", "bob", None]), **user),
        event("transcript", text=_WORDS, final=_MAYBE, interrupted=_MAYBE, **agent),
        event("agent_text_delta", delta=_WORDS, offset=st.sampled_from([0, 3, 5, 11, 14, None]), **agent),
        event("agent_text_complete", text=_WORDS, **agent),
    ]
    rest = [
        event("agent_speech_started", **agent),
        event("agent_speech_finished", interrupted=_MAYBE, position=st.one_of(st.none(), _SECONDS), **agent),
        event("agent_text_unsaid", generated=_WORDS, **agent),
        event("agent_false_interruption", resumed=st.booleans(), utterance=name),
        event("user_speech_started", role=st.just("user")),
        event("user_speech_finished", role=st.just("user")),
        event("agent_state_changed", new_state=_STATES),
        event("user_state_changed", new_state=_STATES),
        event("tool_call_started", call_id=call, name=st.just("look_up")),
        event("tool_call_updated", call_id=call, message=_WORDS),
        event(
            "tool_call_finished", call_id=call, duration=st.one_of(st.none(), _SECONDS), is_error=_MAYBE, output=_WORDS
        ),
        event("turn_metrics", role=st.sampled_from(["user", "agent", None]), utterance=name, **figures),
        event("usage_updated", model_usage=st.lists(st.just({"model": "m", "input_tokens": 3}), max_size=1)),
        event(
            "session_started",
            mode=st.just("room"),
            agent=st.sampled_from(["Weather", None]),
            version=st.sampled_from(["2", None]),
        ),
        event("session_ended", reason=st.just("user_initiated")),
        event("annotation", tag=st.sampled_from(["bad", "good", None]), text=_WORDS, removed=_MAYBE),
        event("agent_handoff", new_agent=st.just("Billing")),
        event("recording_available", duration=_SECONDS, channels=st.just(2), url=st.just("/api/sessions/s/audio")),
        event("agent_error", message=_WORDS, recoverable=_MAYBE),
        event("agent_ready", agent_id=st.sampled_from(["ag_1", None])),
        event("agent_process_exited", agent=st.just("ag_1")),
        event("events_dropped", count=st.just(3), reason=st.just("queue_full")),
        event("livekit_room_finished"),
        event("something_of_theirs", value=st.integers()),
    ]
    return st.one_of(*said, *said, *rest)


def _settled(event: Event) -> Event:
    """Without fields that are None. The event is valid, but for its timestamp: a history may be older than that check."""
    event = {key: value for key, value in event.items() if value is not None}
    try:
        check({**event, "timestamp": 0})
    except InvalidEvent as error:
        raise AssertionError(f"{event}: {error}") from None
    return event


_STAMPS = st.one_of(st.floats(1_700_000_000, 1_700_000_100), st.sampled_from([0, 5, 1e13, 1e300]))


def events(
    rooms: tuple[str | None, ...] = ("r1", "r2", None), sessions: tuple[str | None, ...] = ("s1", "s2", None)
) -> st.SearchStrategy[Event]:
    """One event, of any of these rooms and sessions."""
    common = {"room": st.sampled_from(rooms), "session": st.sampled_from(sessions), "timestamp": _STAMPS}
    return st.tuples(_kinds(), st.fixed_dictionaries(common)).map(lambda parts: _settled({**parts[0], **parts[1]}))


def streams(**of: Any) -> st.SearchStrategy[list[Event]]:
    """Up to 40 events."""
    return st.lists(events(**of), max_size=40)


def spoken(events: list[Event]) -> list[Event]:
    """What captions need of all these events of one session."""
    kept = Spoken()
    for event in events:
        kept.take(event)
    return kept.events()


def told(events: list[Event]) -> Sessions:
    sessions = Sessions()
    for offset, event in enumerate(events, 1):
        sessions.take(event, offset)
    return sessions


def whole(events: list[Event], session: Session) -> Session:
    made = Session(session.room, session.session, whole=True)
    for offset, event in enumerate(events, 1):
        replay_into(session, event, offset, made)
    return made


class Talk:
    """A conversation to be written down quickly: each call is an event, a tenth of a second after the one before."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._times = count()

    def __call__(self, type: str, **fields: Any) -> Talk:
        at = 1000 + next(self._times) / 10
        self.events.append({"type": type, "timestamp": at, "room": "r", "session": "s", **fields})
        return self

    def user(self, text: str, **fields: Any) -> Talk:
        return self("transcript", role="user", text=text, **fields)

    def agent(self, text: str, **fields: Any) -> Talk:
        return self("transcript", role="agent", text=text, **fields)

    def said_aloud(self, text: str, utterance: str) -> Talk:
        """A reply of the agent from its first sound to its transcript."""
        self("agent_speech_started", utterance=utterance)
        self("agent_speech_finished", utterance=utterance, position=0.1)
        return self.agent(text, utterance=utterance)

    def session(self) -> Session:
        return whole(self.events, told(self.events).find("s")[0])

    def turns(self) -> list[tuple[str | None, str | None]]:
        return [
            (turn.get("user", {}).get("text"), turn.get("agent", {}).get("text"))
            for turn in self.session().document()["turns"]
        ]
