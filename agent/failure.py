"""Why the agent cannot start: one sentence, for the terminal and for the hub's status."""

from __future__ import annotations

WRONG_SETTINGS = 2
"""Exit code: it would fail again, so the launcher does not restart it."""
UNREACHABLE = 1
"""Exit code: it may succeed the next time."""


class Failure(Exception):
    """`sentence` says what is wrong and what to do; `source` is the failing part: settings, livekit, stt, llm, tts, …"""

    def __init__(self, sentence: str, source: str = "settings", code: int = WRONG_SETTINGS) -> None:
        super().__init__(sentence)
        self.sentence, self.source, self.code = sentence, source, code
