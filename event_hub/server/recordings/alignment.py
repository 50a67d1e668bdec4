"""Where the utterances of a session are in its recording. Pure.

An event's place is its time minus that of the recording's first sample. LiveKit's events of the agent's speech are that
exact; those of the user's come when its voice detector is sure, up to 0.1 s after the sound, so the mark is moved to the
first sound near it (measured with real calls: within 50 ms of the word).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .levels import PER_SECOND, Levels

USER, AGENT = 0, 1
"""The channels of a stereo recording."""
_AROUND = {USER: (0.2, 0.2), AGENT: (0.0, 0.3)}
"""Seconds before and after an event in which its sound is looked for."""
_QUIET = 0.3
"""Seconds before that, in which the noise is measured."""
_ABOVE = 20
"""Half decibels by which sound is above the noise."""
_AUDIBLE = 2 * (127.5 - 50)
"""The level of -50 dBFS: below it, nothing is heard."""


def heard_at(levels: Levels, channel: int, offset: float) -> float | None:
    """The first sound of a channel near `offset` (seconds), in seconds; None if there is none."""
    before, after = _AROUND[channel]
    loud = levels.decibels(channel if levels.channels > 1 else 0)
    first = max(0, round((offset - before) * PER_SECOND))
    last = min(len(loud), round((offset + after) * PER_SECOND) + 1)
    quiet = sorted(loud[max(0, first - round(_QUIET * PER_SECOND)) : max(1, first)])
    noise = quiet[len(quiet) // 2] if quiet else 0
    threshold = max(_AUDIBLE, noise + _ABOVE)
    for window in range(first, last):
        if loud[window] >= threshold:
            return window / PER_SECOND
    return None


def marks(speech: Iterable[Mapping[str, Any]], started: float, levels: Levels) -> Iterator[dict[str, Any]]:
    """For each stretch of speech (`role`, `utterance`, `text`, `began` and `stopped` in epoch seconds): `offset`, where its
    event is in the recording, and `heard`, where it is first heard, both in seconds; `end`, where it ends. `started`: when
    the recording's first sample was taken."""
    for said in speech:
        began = said.get("began")
        if began is None:
            continue
        channel = USER if said.get("role") == "user" else AGENT
        offset = began - started
        heard = heard_at(levels, channel, offset)
        mark = {
            "role": said.get("role"),
            "utterance": said.get("utterance"),
            "text": said.get("text"),
            "began": began,
            "offset": round(offset, 3),
            "heard": None if heard is None else round(heard, 3),
        }
        if (stopped := said.get("stopped")) is not None:
            mark["end"] = round(stopped - started, 3)
        yield mark
