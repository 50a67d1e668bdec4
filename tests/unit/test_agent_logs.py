"""An agent's log: cut under the program that writes it, shown without secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.server.agents.logs import KEPT, MOST, LogFile, Mask, shown

MASK = Mask(
    {
        "OPENAI_API_KEY": "s3cr3t-value",
        "LIVEKIT_API_SECRET": "s3cr3t",
        "DB_PASSWORD": "h.nter+2",
        "KEY_VERSION": "1",
        "HOME": "/home/me",
    }
)


def test_a_log_is_cut_while_the_program_writes(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    writer = log.open()
    try:
        for number in range(MOST // 50):
            os.write(writer, f"line {number:6d} {'x' * 60}\n".encode())
        log.cut()
        assert log.path.stat().st_size <= KEPT + 100
        os.write(writer, "the next line →".encode())
        assert log.tail(1, MASK) == ["the next line →"], "it goes on at the new end"
        kept = log.path.read_text().splitlines()
        assert "cut older lines off" in kept[0]
        assert kept[1].startswith("line "), "no line is cut in two"
        assert kept[-2].startswith(f"line {MOST // 50 - 1:6d}")
    finally:
        os.close(writer)
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_what_is_not_there_is_empty(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log")
    log.cut()
    assert log.tail(5, MASK) == []
    log.path.write_bytes(b"x" * (2 * MOST))
    log.cut()
    assert len(log.tail(5, MASK)[0]) == 2001
    assert log.tail(0, MASK) == []


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("s3cr3t-value and s3cr3t", "*** and ***"),
        ("the password is h.nter+2, not hxnter+2", "the password is ***, not hxnter+2"),
        ("version 1 in /home/me", "version 1 in /home/me"),
        ("\x1b[1;31ms3c\x1b[0mr3t\x1b[0m", "***"),
        ("http://127.0.0.1:5000/api and ws://[::1]:7880", "http://127.0.0.1:5000/api and ws://[::1]:7880"),
        ("postgres://me:pass@db/x", "postgres://me:***@db/x"),
        ("authorization: bearer abc.def", "authorization: bearer ***"),
        ("sk-proj-abcdefghijklm", "***"),
        ("a\u202eb", "ab"),
        ("windows\r", "windows"),
    ],
)
def test_what_is_shown(line: str, seen: str) -> None:
    assert shown(line, MASK) == seen


@given(st.text())
def test_no_control_character_and_no_secret_is_ever_shown(text: str) -> None:
    seen = shown(f"{text}s3cr3t-value{text}", MASK)
    assert "s3cr3t" not in seen
    assert not any(ord(character) < 32 and character != "\t" and character != "\n" for character in seen)
    assert len(seen) <= 2001
