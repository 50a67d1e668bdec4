"""Redaction of one text: whole, or piece by piece as it is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .fold import fold
from .spans import CONTEXT, DIGITS, Detector, Pause, Span, no_pause

MOST_HELD = 640
"""Characters that are held back at most. Single detectors hold back at most 500; only a chain of overlapping matches could
take more, and is then decided as it stands."""


@dataclass(frozen=True, slots=True)
class Held:
    """Between two pieces of a text: the characters `before`, which are gone, and the `text` that is held back."""

    before: str = ""
    text: str = ""


START = Held()


_DIGIT = re.compile("[0-9]")


def _has_any(text: str, characters: str) -> bool:
    return _DIGIT.search(text) is not None if characters == DIGITS else any(one in text for one in characters)


class TextRedactor:
    """Replaces what `detectors` find, each match by `[name]`. Overlapping matches are replaced together, by the name of the
    longest, so that nothing of either is left."""

    def __init__(self, detectors: Sequence[Detector], pause: Pause = no_pause) -> None:
        self._pause = pause
        self._detectors = tuple(detectors)
        needs = {detector.needs for detector in detectors}
        self._needs = re.compile(f"[{''.join(needs)}]") if needs and "" not in needs else None

    def redact(self, text: str) -> str:
        """The whole of `text`, redacted."""
        self._pause()
        if self._needs is not None and self._needs.search(fold(text)) is None:
            return text
        return self.feed(START, text, final=True)[0]

    def feed(self, held: Held, text: str, *, final: bool = False) -> tuple[str, Held]:
        """Take the next piece of a text; returns what can be shown, redacted, and what is held back from now on.

        However a text is cut, the pieces that are returned, joined, are the whole text redacted; with `final`, the rest of
        it is returned and nothing is held back.
        """
        raw = held.before + held.text + text
        start = len(held.before)
        folded = fold(raw)
        stop, spans = self._decide(folded, start, final)
        if len(raw) - stop > MOST_HELD:
            stop, spans = self._decide(folded, start, True)
        shown, place = [], start
        for span in spans:
            shown.append(raw[place : span.start])
            shown.append(f"[{span.name}]")
            place = span.end
        shown.append(raw[place:stop])
        before = raw[max(0, stop - CONTEXT) : stop]
        return "".join(shown), START if final else Held(before, raw[stop:])

    def _decide(self, text: str, start: int, final: bool) -> tuple[int, list[Span]]:
        """Up to where `text` is decided, and the spans before that, merged and in order."""
        stop = len(text)
        found: list[Span] = []
        for detector in self._detectors:
            if final and detector.needs and not _has_any(text, detector.needs):
                continue
            spans, undecided = detector.scan(text, start, final, self._pause)
            found += spans
            stop = min(stop, undecided)
        found.sort()
        while straddling := [span.begin for span in found if span.begin < stop < span.end]:
            stop = min(straddling)
        merged: list[Span] = []
        longest = 0
        for span in found:
            if span.end > stop:
                continue
            last = merged[-1] if merged else None
            if last is None or span.start >= last.end:
                merged.append(span)
                longest = span.end - span.start
            else:
                name = span.name if span.end - span.start > longest else last.name
                longest = max(longest, span.end - span.start)
                merged[-1] = Span(last.start, max(last.end, span.end), name, min(last.begin, span.begin))
        return stop, merged
