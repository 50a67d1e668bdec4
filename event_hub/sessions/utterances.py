"""Which utterance each event of a session belongs to, whose it is, and whether it was heard. Pure.

Every view of a conversation asks this module: the items and turns of the API, transcripts, captions, the command line. The
page has a twin of it, `static/model/utterances.js`; both are tested on one table, `tests/utterances.json`.

Events that name their `utterance` belong to that utterance. The rules for the others:

- One speaker's interims and the final that follows are one utterance. After `user_speech_started`, an interim without a
  final continues only with words that begin alike: some recognizers are ahead of the VAD, others finish late.
- The agent's events belong to its newest reply, until that was said, or its speech has ended and another one begins.

For all of them:

- The last final of an utterance counts. An interim that follows a final changes nothing.
- An utterance stands where it began: at the event's own `began`, the start of the user's speech or of the agent's audio,
  or else at its first event.
- An interim stays open until the same speaker's next final. If that final begins with the interim's words, the interim
  was a part of it (absorbed); else nothing confirmed it (unconfirmed).
- A reply was heard from its `agent_speech_started` on, or if it has a final transcript. It was not heard if it was
  interrupted at position 0, if its speech ended without a start, or if `agent_text_unsaid` says so. At the end of the
  session, no other reply counts as heard. As long as the agent has no speech events, its text is read, and counts as heard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .fields import Event, name, seconds, stamp, text
from .utterance import (
    REMEMBERED,
    WORDS,
    AgentUtterance,
    Resolution,
    Settled,
    Stretch,
    UserUtterance,
    Utterance,
    alike,
    near,
    part_of,
    remember,
)


class Utterances:
    """The utterances of one session. `take` gets its events in the order of their arrival. Memory is bounded, and each event
    takes constant time."""

    def __init__(self) -> None:
        self.audible = False
        """The agent is heard in this session, not read."""
        self._spoken = False
        """The user is heard in this session."""
        self.finished: Stretch | None = None
        """The user's speech that the newest event ended."""
        self._count = 0
        self.reset()

    def reset(self) -> None:
        """From now on, the name of an utterance means a new one."""
        self._users: dict[str, UserUtterance] = {}
        self._open: dict[int, UserUtterance] = {}
        self._nameless: dict[str, UserUtterance] = {}
        """By speaker: the utterance without a name that is still going on."""
        self._earlier: dict[str, UserUtterance] = {}
        """By speaker: the one that may still go on, although new speech has started since."""
        self._stretches: dict[str, list[Stretch]] = {}
        """By speaker: the newest stretch of speech, and the one before it."""
        self._replies: dict[str, AgentUtterance] = {}
        self._reply: AgentUtterance | None = None
        self._pending: dict[int, AgentUtterance] = {}
        """Replies that have been neither heard nor said so far."""
        self._speech = 0

    def take(self, event: Event) -> Resolution | None:
        """The event's utterance; None if it has none."""
        handler = _HANDLERS.get(event["type"])
        return handler(self, event) if handler is not None else None

    def find(self, name: str) -> Utterance | None:
        """The utterance of this name, while it is remembered."""
        return self._users.get(name) or self._replies.get(name)

    @property
    def reply(self) -> AgentUtterance | None:
        """The agent's newest reply."""
        return self._reply

    def newest_stretch(self) -> Stretch | None:
        """The user's newest speech; if several users speak at once, the one that ends last."""
        newest: Stretch | None = None
        for stretches in self._stretches.values():
            for stretch in stretches:
                if newest is None or _end(stretch) > _end(newest):
                    newest = stretch
        return newest

    def settle(self) -> list[Settled]:
        """The session is over: what was still open is now unconfirmed, or unsaid."""
        settled = [Settled(utterance, "unconfirmed") for utterance in self._open.values()]
        for utterance in self._open.values():
            utterance.open = False
        self._open.clear()
        settled += [one for reply in self._pending.values() for one in self._give_up(reply)]
        self._pending.clear()
        return settled

    def _give_up(self, reply: AgentUtterance) -> Iterator[Settled]:
        reply.read = not self.audible
        if not reply.heard and not (reply.denied or reply.never):
            reply.silent = True
            yield Settled(reply, "unsaid")

    # -- the user ------------------------------------------------------------------------------------------------------

    def _user_started(self, event: Event) -> None:
        speaker = name(event, "participant") or ""
        self._spoken = True
        self._speech += 1
        stretches = self._stretches.pop(speaker, [])[-1:]
        stretches.append(Stretch(self._speech, speaker, stamp(event)))
        remember(self._stretches, speaker, stretches)
        for other in [speaker] if speaker else list(self._nameless):
            if other in self._nameless:
                remember(self._earlier, other, self._nameless.pop(other))

    def _user_finished(self, event: Event) -> None:
        self.finished = None
        speaker = name(event, "participant") or ""
        stretches = self._stretches.get(speaker) or self._stretches.get("")
        if stretches is None and not speaker and self._stretches:
            stretches = next(reversed(self._stretches.values()))
        if stretches and stretches[-1].stopped is None:
            stretches[-1].stopped = stamp(event)
            self.finished = stretches[-1]

    def _transcript(self, event: Event) -> Resolution | None:
        label = name(event, "utterance")
        if event.get("role") == "agent" or label in self._replies:
            return self._said(event)
        words, final, at = text(event, "text"), event.get("final") is not False, stamp(event)
        speaker = name(event, "participant") or name(event, "role") or ""
        known = self._users.get(label) if label else self._continued(speaker, words, at)
        if not words:
            if known is None or not final or known.finals:
                return None  # nothing was understood, or its words are already known
            self._drop(known)
            return Resolution(known, closes=True, drops=True)
        if known is not None and known.finals and not final:
            return None
        utterance = known or self._begin(event, label, speaker, final, at)
        opens, evicted = known is None or known.absorbed, () if known else self._evicted()
        given = seconds(event.get("began"))
        if given is not None:
            utterance.began = given if at is None else min(given, at)
        if not opens and (utterance.stretch is None or not final):
            utterance.stretch = self._stretch(event, speaker, final, at, utterance.stretch)
        if utterance.stretch is not None:
            utterance.stretch.worded = True
        utterance.absorbed, utterance.newest, utterance.words = False, at, words[:WORDS]
        if not final:
            utterance.open = True
            self._open[utterance.number] = utterance
            return Resolution(utterance, opens, settled=evicted)
        utterance.finals += 1
        utterance.open = False
        self._open.pop(utterance.number, None)
        if label is None:
            self._nameless.pop(speaker, None)
            self._earlier.pop(speaker, None)
        return Resolution(utterance, opens, True, settled=(*evicted, *self._confirm(utterance, words)))

    def _continued(self, speaker: str, words: str, at: float | None) -> UserUtterance | None:
        """The nameless utterance that these words continue."""
        known = self._nameless.get(speaker)
        if known is None and words:
            known = self._earlier.get(speaker)
            if known is None or not known.open or not near(known.newest, at) or not alike(known.words, words):
                return None
            self._nameless[speaker] = self._earlier.pop(speaker)
        return known

    def _begin(self, event: Event, label: str | None, speaker: str, final: bool, at: float | None) -> UserUtterance:
        self._count += 1
        stretch = self._stretch(event, speaker, final, at)
        began = stretch.started if stretch is not None and not stretch.worded else at
        utterance = UserUtterance(self._count, label, began, speaker)
        utterance.stretch = stretch
        if label is not None:
            remember(self._users, label, utterance)
        elif not final:
            remember(self._nameless, speaker, utterance)
        return utterance

    def _evicted(self) -> tuple[Settled, ...]:
        if len(self._open) < REMEMBERED:
            return ()
        oldest = self._open.pop(next(iter(self._open)))
        oldest.open = False
        return (Settled(oldest, "unconfirmed"),)

    def _confirm(self, utterance: UserUtterance, words: str) -> Iterator[Settled]:
        """The final of `utterance` ends the earlier ones that the same speaker left open."""
        for other in list(self._open.values()):
            if other.speaker != utterance.speaker or other.number > utterance.number:
                continue
            del self._open[other.number]
            other.open = False
            if near(other.newest, utterance.newest) and part_of(other.words, words):
                other.absorbed = True
                yield Settled(other, "absorbed")
            else:
                yield Settled(other, "unconfirmed")

    def _drop(self, utterance: UserUtterance) -> None:
        utterance.open = False
        self._open.pop(utterance.number, None)
        if utterance.name is not None:
            self._users.pop(utterance.name, None)
        elif self._nameless.get(utterance.speaker) is utterance:
            del self._nameless[utterance.speaker]

    def _stretch(
        self, event: Event, speaker: str, final: bool, at: float | None, known: Stretch | None = None
    ) -> Stretch | None:
        """The speech that an utterance is part of: `known`, unless its speaker has started to speak again."""
        stretches = self._stretches.get(speaker) or self._stretches.get("")
        if stretches is None and speaker in ("", "user") and self._stretches:
            stretches = next(reversed(self._stretches.values()))
        if not stretches:
            return known
        newest, before = stretches[-1], stretches[0]
        if known is not None:
            return newest if newest.stopped is None and not newest.worded else known
        began = seconds(event.get("began"))
        if began is not None:
            # LiveKit dates an item back to about the start of its speech.
            chosen = newest if newest.started is None or newest.started <= began + 1 else before
        elif final and newest.stopped is None and before.answered and not before.worded:
            chosen = before  # a realtime model's late transcript: the agent has answered it, and the user speaks again
        else:
            chosen = newest
        if chosen.stopped is None:
            return chosen
        part = not chosen.worded or (final and not chosen.answered)
        return chosen if part and near(chosen.stopped, at) else None

    # -- the agent -----------------------------------------------------------------------------------------------------

    def _open_reply(self, label: str | None, at: float | None) -> AgentUtterance:
        if not self.audible and not self._spoken:
            for before in self._pending.values():
                before.read = True
            self._pending.clear()
        self._count += 1
        reply = self._reply = self._pending[self._count] = AgentUtterance(self._count, label, at, self)
        if label is not None:
            remember(self._replies, label, reply)
        return reply

    def _answer(self) -> None:
        """The agent is heard or read: it answers the speech that is over."""
        for stretches in self._stretches.values():
            for stretch in stretches:
                stretch.answered = stretch.answered or stretch.stopped is not None

    def _overdue(self) -> tuple[Settled, ...]:
        if len(self._pending) <= REMEMBERED:
            return ()
        return tuple(self._give_up(self._pending.pop(next(iter(self._pending)))))

    def _of_reply(self, event: Event, fits: Callable[[AgentUtterance], bool]) -> tuple[AgentUtterance, bool]:
        """The reply that the event is about, and whether it begins here."""
        label = name(event, "utterance")
        if label is not None:
            known = self._replies.get(label)
        else:
            known = self._reply if self._reply is not None and fits(self._reply) else None
        return (known, False) if known is not None else (self._open_reply(label, stamp(event)), True)

    def _delta(self, event: Event) -> Resolution:
        given: Any = event.get("offset")
        offset: int | None = given if type(given) is int and given >= 0 else None
        label = event.get("utterance")
        known = self._replies.get(label) if type(label) is str else None
        if known is not None:  # most of all events
            known.length = (known.length if offset is None else offset) + len(text(event, "delta"))
            return known.continued

        def fits(reply: AgentUtterance) -> bool:
            if reply.length and offset == reply.length:
                return True
            ended = reply.said or reply.whole or reply.stopped
            return not ended and (offset != 0 or reply.length == 0)

        reply, opens = self._of_reply(event, fits)
        length = len(text(event, "delta"))
        reply.length = (reply.length if offset is None else offset) + length
        return Resolution(reply, opens, settled=self._overdue() if opens else ())

    def _complete(self, event: Event) -> Resolution:
        reply, opens = self._of_reply(event, lambda one: not one.whole and (one.length > 0 or not one.said))
        reply.whole = True
        reply.length = len(text(event, "text"))
        return Resolution(reply, opens, settled=self._overdue() if opens else ())

    def _agent_started(self, event: Event) -> Resolution:
        reply, opens = self._of_reply(event, lambda one: not (one.said or one.started or one.stopped))
        self.audible = True
        if not reply.started:
            self._answer()
            reply.started, reply.silent = True, False
            at = stamp(event)
            reply.began = reply.began if at is None else at
            self._pending.pop(reply.number, None)
        return Resolution(reply, opens)

    def _agent_finished(self, event: Event) -> Resolution | None:
        self.audible = True
        label = name(event, "utterance")
        reply = self._replies.get(label) if label is not None else self._reply
        if reply is None:
            return None
        position = seconds(event.get("position"))
        reply.stopped = True
        if event.get("interrupted") is True and position == 0:
            reply.denied = True
            self._pending.pop(reply.number, None)
        elif not reply.started:
            reply.silent = not position
            reply.started = not reply.silent
        return Resolution(reply, closes=True)

    def _said(self, event: Event) -> Resolution | None:
        reply, opens = self._of_reply(event, lambda one: not one.said)
        if event.get("final") is False:
            return None if reply.said else Resolution(reply, opens, settled=self._overdue() if opens else ())
        if not reply.said:
            self._answer()
        reply.finals += 1
        self._pending.pop(reply.number, None)
        return Resolution(reply, opens, True)

    def _unsaid(self, event: Event) -> Resolution:
        reply, opens = self._of_reply(event, lambda one: not one.said)
        reply.never = True
        self._pending.pop(reply.number, None)
        return Resolution(reply, opens, True, settled=(Settled(reply, "unsaid"),))

    def _false_interruption(self, event: Event) -> Resolution | None:
        """What sounded like speech was not speech, and the agent goes on: it was not cut off."""
        for stretches in self._stretches.values():
            stretches[:] = [stretch for stretch in stretches if stretch.worded]
        self._stretches = {speaker: stretches for speaker, stretches in self._stretches.items() if stretches}
        reply = self._replies.get(name(event, "utterance") or "", self._reply)
        if reply is None:
            return None
        if event.get("resumed") is True:
            reply.denied = reply.silent = False
        return Resolution(reply)


def _end(stretch: Stretch) -> tuple[float, int]:
    return (float("inf") if stretch.stopped is None else stretch.stopped, stretch.number)


def slot(event: Event) -> tuple[str, str]:
    """What the interims and the final of a user's utterance share: `("u", name)`, or without a name `("p", speaker)`."""
    label = name(event, "utterance")
    return ("u", label) if label else ("p", name(event, "participant") or name(event, "role") or "")


_HANDLERS: dict[str, Callable[[Utterances, Event], Resolution | None]] = {
    "transcript": Utterances._transcript,
    "user_speech_started": Utterances._user_started,
    "user_speech_finished": Utterances._user_finished,
    "agent_text_delta": Utterances._delta,
    "agent_text_complete": Utterances._complete,
    "agent_text_unsaid": Utterances._unsaid,
    "agent_speech_started": Utterances._agent_started,
    "agent_speech_finished": Utterances._agent_finished,
    "agent_false_interruption": Utterances._false_interruption,
}
