"""`event-hub tail` against real hubs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..hubs import PATIENCE, HubProcess, until
from .commands import EVENT_HUB, Running, Terminal, environ, run, screen


def sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'hub.db'}"


def test_head_ends_tail_even_if_no_event_follows(hub: HubProcess) -> None:
    """Only the closed pipe can end it."""
    hub.publish({"type": "test", "room": "head"})
    before = hub.subscribers()
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [EVENT_HUB, "tail", "--since", "all", "--room", "head", "--hub", hub.url],
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environ(),
    )
    os.close(writer)
    with process, os.fdopen(reader, "rb") as pipe:
        assert b"test" in pipe.readline()
        tail = hub.newcomer(before)  # subscribed: its replay is over
        pipe.close()
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    hub.wait_gone(tail)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_tail_silently(hub: HubProcess, tmp_path: Path, number: signal.Signals, code: int) -> None:
    before = hub.subscribers()
    with Running(tmp_path, "tail", hub=hub.url) as tail:
        hub.newcomer(before)
        assert tail.end(number) == code
        assert tail.err == ""


def test_kill_9_of_the_hub_neither_loses_nor_repeats_events(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    hub = hub_factory(HUB_HISTORY=sqlite(tmp_path)).start()
    with Running(tmp_path, "tail", "--json", hub=hub.url) as tail:
        hub.wait_count(1)
        for n in range(30):
            hub.publish({"type": "test", "n": n})
        hub.kill()
        until(lambda: "reconnecting" in tail.err, "the notice")
        hub.start()
        for n in range(30, 60):
            hub.publish({"type": "test", "n": n})
        until(lambda: len(tail.lines()) >= 60, "all events")
        assert [json.loads(line)["n"] for line in tail.lines()] == list(range(60))
        assert "connected again" in tail.err
        assert tail.end() == 130


@pytest.mark.parametrize("form", ["--json", "--no-color"])
def test_a_gap_is_reported(hub_factory: Callable[..., HubProcess], tmp_path: Path, form: str) -> None:
    """A restart loses a history in memory."""
    hub = hub_factory().start()
    with Running(tmp_path, "tail", form, hub=hub.url) as tail:
        hub.wait_count(1)
        hub.publish({"type": "test", "n": 1})
        until(tail.lines, "the first")
        hub.kill()
        hub.start()
        hub.wait_count(1)
        hub.publish({"type": "test", "n": 2})
        until(lambda: len(tail.lines()) >= 3, "the gap and the second")
        gap = tail.lines()[1]
        if form == "--json":
            assert json.loads(gap)["reason"] == "unknown_epoch"
        else:
            assert "gap: events missing (unknown_epoch)" in gap
        assert "gap: events missing (unknown_epoch)" in tail.err


def test_json_is_exactly_what_the_hub_sent(hub: HubProcess, tmp_path: Path) -> None:
    body = (
        '{"type":"test","room":"exact","big":123456789012345678901234567890,"float":1e3,"b":1.0,'
        '"text":"\\u001b[31m \\ud83d\\ude00 \u009b \u2028","a":{"z":1,"y":[]},"timestamp":1.5,"event_id":"exact-1"}'
    )
    hub.publish(json.loads('{"type":"test","room":"exact","event_id":"exact-0"}'))
    assert run("post", body, hub=hub.url).returncode == 0
    sent = hub.stream("?since=all&room=exact")
    with sent:
        sent.until("stream_opened")
        sent.next(), sent.next()
        frames = sent.bytes.decode().split("\n")
    data = [line[6:] for line in frames if line.startswith("data: ")][1:3]
    done = run("tail", "--json", "--since", "all", "--no-follow", "--room", "exact", hub=hub.url)
    assert done.stdout == "".join(f"{line}\n" for line in data)
    done = run("tail", "--json", "--ids", "--since", "all", "--count", "2", "--room", "exact", hub=hub.url)
    ids = [json.loads(line)["id"] for line in done.stdout.split("\n") if line]
    assert done.stdout == "".join(f'{{"id":"{i}","event":{line}}}\n' for i, line in zip(ids, data, strict=True))


def test_no_follow_shows_the_stored_events(hub: HubProcess) -> None:
    for n in range(5):
        hub.publish({"type": "test", "room": "there", "n": n})
    for options, numbers in (
        (["--replay", "2"], [3, 4]),
        (["--replay", "2"], [3, 4]),
        (["--replay", "4", "-n", "2"], [1, 2]),
        (["--since", "1h"], [0, 1, 2, 3, 4]),
        (["--since", "all", "--count", "3"], [0, 1, 2]),
        (["--type", "nothing"], []),
    ):
        done = run("tail", "--no-follow", "--json", "--room", "there", *options, hub=hub.url)
        assert done.returncode == 0
        assert [json.loads(line)["n"] for line in done.stdout.splitlines()] == numbers


def test_n_starts_with_the_newest_events_and_follows(hub: HubProcess, tmp_path: Path) -> None:
    """Like tail(1) with `-n 2 -f`."""
    for n in range(4):
        hub.publish({"type": "test", "room": "newest", "n": n})
    with Running(tmp_path, "tail", "--replay", "2", "-f", "--json", "--room", "newest", hub=hub.url) as tail:
        until(lambda: len(tail.lines()) == 2, "the newest two")
        hub.publish({"type": "test", "room": "newest", "n": 4})
        until(lambda: len(tail.lines()) == 3, "the next")
        assert [json.loads(line)["n"] for line in tail.lines()] == [2, 3, 4]
        assert tail.end() == 130


def test_without_a_terminal_the_agents_text_is_one_line(hub: HubProcess) -> None:
    for event in conversation("whole"):
        hub.publish(event)
    done = run("tail", "--no-follow", "--room", "whole", hub=hub.url)
    assert "\x1b" not in done.stdout
    lines = [line.split("whole", 1)[1].split(maxsplit=1) for line in done.stdout.splitlines()]
    assert [tuple(line) for line in lines] == [
        ("transcript", "user caller_1: What is …"),
        ("transcript", "user caller_1: What is the weather?"),
        ("tool_call_started", 'lookup_weather(location="Oslo")'),
        ("tool_call_finished", 'lookup_weather(location="Oslo") → sunny, 210 ms'),
        ("agent_text_complete", "agent: It is sunny."),
        ("agent_text_delta", "agent: Never fin"),
    ]


def conversation(room: str) -> list[dict[str, object]]:
    events: list[dict[str, object]] = [
        {"type": "transcript", "text": "What is", "final": False, "role": "user", "participant": "caller_1"},
        {
            "type": "transcript",
            "text": "What is the weather?",
            "final": True,
            "role": "user",
            "participant": "caller_1",
        },
        {"type": "tool_call_started", "call_id": "c", "name": "lookup_weather", "arguments": {"location": "Oslo"}},
        {"type": "tool_call_finished", "call_id": "c", "output": "sunny", "duration": 0.21},
        {"type": "agent_text_delta", "delta": "It is", "offset": 0, "utterance": "a1"},
        {"type": "agent_text_delta", "delta": " sunny.", "offset": 5, "utterance": "a1"},
        {"type": "agent_text_complete", "text": "It is sunny.", "utterance": "a1"},
        {"type": "agent_text_delta", "delta": "Never fin", "offset": 0, "utterance": "a2"},
    ]
    return [{**event, "room": room} for event in events]


def test_on_a_terminal_the_last_line_grows(hub: HubProcess) -> None:
    before = hub.subscribers()
    first, *rest = conversation("grows")
    with Terminal("tail", "--room", "grows", hub=hub.url) as terminal:
        hub.newcomer(before)
        hub.publish(first)
        terminal.until(lambda text: screen(text)[-1].endswith("user caller_1: What is …"), "the interim")
        for event in rest[:-3]:
            hub.publish(event)
        terminal.until(lambda text: screen(text)[-1].endswith("agent: It is"), "the growing line")
        hub.publish(rest[-3])
        terminal.until(lambda text: screen(text)[-1].endswith("agent: It is sunny."), "more of it")
        hub.publish(rest[-2])
        hub.publish(rest[-1])
        terminal.until(lambda text: screen(text)[-1].endswith("Never fin"), "the last")
        shown = [line.split("grows  ", 1)[1] for line in screen(terminal.text)]
        assert [line.split(maxsplit=1)[1] for line in shown] == [
            "user caller_1: What is the weather?",
            'lookup_weather(location="Oslo")',
            'lookup_weather(location="Oslo") → sunny, 210 ms',
            "agent: It is sunny.",
            "agent: Never fin",
        ]
        terminal.press(b"\x03")
        assert terminal.wait() == 130
        assert "\x1b[36m" in terminal.text  # coloured
        assert "Traceback" not in terminal.text


def test_control_characters_in_events_do_not_reach_the_terminal(hub: HubProcess) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\u202eabc\u2028"
    hub.publish({"type": "transcript", "room": "evil", "text": evil, "participant": evil})
    hub.publish({"type": "agent_text_delta", "room": "evil", "delta": evil})
    hub.publish({"type": "unknown", "room": "evil", evil: evil})
    hub.publish({"type": "tool_call_started", "room": "evil", "call_id": evil, "name": evil, "arguments": {evil: evil}})
    hub.publish({"type": "last", "room": "evil" + evil})
    for form in ("--no-color", "--json"):
        options = ("tail", form, "--since", "all", "--no-follow", "--room", "evil*")
        with Terminal(*options, hub=hub.url, columns=400) as terminal:
            assert terminal.wait() == 0
        own = terminal.text.replace("\r\x1b[2K", "").replace("\r\n", "\n")
        assert not any(c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u2028\u202e") for c in own)
        assert "last" in own


def test_long_live_text_stays_on_one_line(hub: HubProcess) -> None:
    before = hub.subscribers()
    with Terminal("tail", "--no-color", "--room", "long", hub=hub.url, columns=80) as terminal:
        hub.newcomer(before)
        hub.publish({"type": "agent_text_delta", "room": "long", "delta": "word " * 50 + "end", "utterance": "a"})
        terminal.until(lambda text: text.endswith("end"), "the end of it")
        assert "\n" not in terminal.text
        assert len(screen(terminal.text)[-1]) < 80
        hub.publish({"type": "unknown", "room": "long", "n": "x" * 500})
        terminal.until(lambda text: text.count("end") == 2, "the line under the other")
        above, growing = screen(terminal.text)
        assert len(above) <= 80
        assert above.endswith("…")
        assert growing.endswith("end")


def test_colour_can_be_chosen(hub: HubProcess) -> None:
    hub.publish({"type": "transcript", "room": "colour", "text": "hello"})
    options = ("tail", "--since", "all", "--no-follow", "--room", "colour")
    assert "\x1b[" in run(*options, "--color", hub=hub.url).stdout
    for arguments, more in ((options, {"NO_COLOR": "1"}), ((*options, "--no-color"), {})):
        with Terminal(*arguments, hub=hub.url, **more) as terminal:
            assert terminal.wait() == 0
        assert "hello" in terminal.text
        assert "\x1b[" not in terminal.text


def test_invalid_options(hub: HubProcess) -> None:
    for arguments in (
        ["--since", "5m", "--replay", "3"],
        ["--ids"],
        ["--replay", "1001"],
        ["--count", "0"],
        ["--hub", "ftp://x"],
    ):
        done = run("tail", *arguments)
        assert done.returncode == 2, done.stderr
    done = run("tail", "--since", "yesterday", hub=hub.url)
    assert done.returncode == 1
    assert "bad_cursor" in done.stderr
