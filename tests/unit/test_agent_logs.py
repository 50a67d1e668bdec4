"""An agent's log: cut under the program that writes it, shown without secrets."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.server.agents.logs import KEPT, MOST, LogFile
from event_hub.server.agents.mask import LONGEST_SENTENCE, Mask, sentence, shown

MASK = Mask(
    {
        "OPENAI_API_KEY": "s3cr3t-value",
        "LIVEKIT_API_SECRET": "s3cr3t-v",
        "DB_PASSWORD": "h.nter+2",
        "PGPASS": "pg-pass-word",
        "SMTP_PASS": "smtp-pass-word",
        "SMTP_PWD": "smtp-pwd-word",
        "NGROK_AUTHTOKEN": "ngrok-token-word",
        "PROXY_AUTH": "proxy auth/word=1",
        "SSH_KEY": '-----BEGIN-----\nfirst line of it\n  second "line" ü\nshort\n',
        "KEY_VERSION": "1",
        "TOKENIZERS_PARALLELISM": "sometimes-true",
        "MAX_TOKENS": "4096409640",
        "A_TOKEN": "none",
        "MONKEY": "bananas-and-more",
        "PWD": "/home/me/project",
        "OLDPWD": "/home/me/before",
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
        assert log.tail(1, MASK) == ["the next line →"], "the program appends to the shortened file"
        kept = log.path.read_text().splitlines()
        assert "the hub removed older lines" in kept[0]
        assert kept[1].startswith("line "), "it starts with a whole line"
        assert kept[-2].startswith(f"line {MOST // 50 - 1:6d}")
    finally:
        os.close(writer)
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_missing_log_is_empty(tmp_path: Path) -> None:
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
        ("s3cr3t-value and s3cr3t-v", "*** and ***"),
        ("the password is h.nter+2, not hxnter+2", "the password is ***, not hxnter+2"),
        ("version 1 in /home/me", "version 1 in /home/me"),
        ("\x1b[1;31ms3c\x1b[0mr3t-v\x1b[0m", "***"),
        ("http://127.0.0.1:5000/api and ws://[::1]:7880", "http://127.0.0.1:5000/api and ws://[::1]:7880"),
        ("postgres://me:pass@db/x", "postgres://me:***@db/x"),
        ("authorization: bearer abc.def", "authorization: bearer ***"),
        ("sk-proj-abcdefghijklm", "***"),
        ("pg-pass-word, smtp-pass-word, smtp-pwd-word, ngrok-token-word", "***, ***, ***, ***"),
        ("first line of it", "***"),
        ('it is   second "line" ü', "it is   ***"),
        (json.dumps('second "line" ü'), '"***"'),
        (json.dumps('second "line" ü', ensure_ascii=False), '"***"'),
        (f"?a={quote('proxy auth/word=1', safe='')}&b", "?a=***&b"),
        ("?a=proxy%20auth%2fword%3d1&b", "?a=***&b"),
        ("?a=proxy+auth%2Fword%3D1&b", "?a=***&b"),
        ("X-Api-Key: abcdef", "X-Api-Key: ***"),
        ("xi-api-key=abc def", "xi-api-key=*** def"),
        ("{'x-api-key': 'abc', 'a': 1}", "{'x-api-key': '***', 'a': 1}"),
        ('{"password": "a b\\"c", "a": 1}', '{"password": "***", "a": 1}'),
        ('"db_password":"x"', '"db_password":"***"'),
        ("password=hello&x", "password=***&x"),
        ("none, false, 4096409640 and sometimes-true", "none, false, 4096409640 and sometimes-true"),
        ("bananas-and-more in /home/me/project", "bananas-and-more in /home/me/project"),
        ('{"max_tokens": 4096, "tokens": 7}', '{"max_tokens": 4096, "tokens": 7}'),
        ("a key: value, the password is not known", "a key: value, the password is not known"),
        ("a\u202eb", "ab"),
        ("windows\r", "windows"),
    ],
)
def test_a_line_as_it_is_shown(line: str, seen: str) -> None:
    assert shown(line, MASK) == seen


@given(st.text())
def test_no_control_character_and_no_secret_is_ever_shown(text: str) -> None:
    seen = shown(f"{text}s3cr3t-value{text}", MASK)
    assert "s3cr3t" not in seen
    assert not any(ord(character) < 32 and character != "\t" and character != "\n" for character in seen)
    assert len(seen) <= 2001


PATHOLOGICAL = [
    "eyJ-",
    "eyJ-.",
    "eyJaaaaa.",
    "eyJaaaaa.a.",
    "eyJaaaaa ",
    "Bearer ",
    " Bearer",
    "Basic  ",
    "://a:",
    "://",
    ":a",
    "sk-",
    "\x1b[",
    "\x1b[0",
    "\x1b]",
    "'a",
    '"password',
    '"password":"',
    '"password":"\\\\',
    "api-key",
    "api-key:",
    "a-",
    "password=",
    "?key=",
    "x",
    " ",
    "\r",
]


@pytest.mark.parametrize("text", PATHOLOGICAL, ids=range(len(PATHOLOGICAL)))
def test_masking_takes_linear_time(text: str) -> None:
    """A program must not be able to block the hub by its output. (Quadratic time would be 16 times as long for 4.)"""

    def takes(size: int) -> float:
        def once() -> float:
            began = time.thread_time()  # not affected by other processes
            MASK(text * (size // len(text)))
            shown(text * (size // len(text)), MASK)
            return time.thread_time() - began

        return min(once() for _ in range(3))

    long = takes(128_000)
    assert long < 10 * takes(32_000) + 0.005
    assert long < 1.0


def test_a_reported_message_becomes_one_short_line() -> None:
    assert sentence("a\nforged line\x1b[31m of s3cr3t-value\r\n", MASK) == "a forged line of ***"
    assert sentence("x" * 65_000, MASK) == "x" * LONGEST_SENTENCE + "…"
    for nothing in (None, 5, "", " \n", ["x"]):
        assert sentence(nothing, MASK) is None
    edge = sentence("x" * (LONGEST_SENTENCE - 4) + "s3cr3t-value", MASK)
    assert edge is not None
    assert "s3c" not in edge


@pytest.mark.parametrize("before", range(15))
def test_half_a_secret_at_the_start_of_the_read_part_is_not_shown(tmp_path: Path, before: int) -> None:
    """In a line that is longer than the part that is read, and after such a line was cut."""
    log = LogFile(tmp_path / "a.log")
    for size in (KEPT // 8, KEPT):
        log.path.write_bytes(b"A" * 100_000 + b"s3cr3t-value" + b"B" * (size - before) + b"\n")
        (line,) = log.tail(50 if size < KEPT else 60, MASK)
        assert line.startswith("... (the start of this line is missing) B")
    log.path.write_bytes(b"A" * MOST + b"s3cr3t-value" + b"B" * (KEPT - before))
    log.cut()
    assert "B" * 100 in log.tail(60, MASK)[-1]
    assert not any(part in line for line in log.tail(60, MASK) for part in ("alue", "lueB", "ueB", "eB"))


def test_a_log_that_is_not_a_file_is_empty(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.log")
    assert LogFile(tmp_path / "a.log").tail(5, MASK) == []
