"""What the tests of a module share: one recogniser, and an environment without settings of the test run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ..conftest import outliving
from ..livekit.speech import Recogniser

_SETTINGS = ("AGENT_", "ASSEMBLYAI_", "CARTESIA_", "DEEPGRAM_", "GEMINI_", "GOOGLE_", "MURF_", "OPENAI_")


@pytest.fixture(scope="module")
def recogniser() -> Iterator[Recogniser]:
    with outliving() as keep, Recogniser() as process:
        keep()
        yield process


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
        monkeypatch.delenv(name)
