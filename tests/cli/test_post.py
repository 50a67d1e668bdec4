"""`event-hub post` against real hubs."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until
from .commands import Running, Terminal, run


def stored(hub: HubProcess, room: str) -> list[dict[str, Any]]:
    headers = {"Accept": "application/x-ndjson"}
    answer = requests.get(f"{hub.url}/api/events", params={"room": room}, headers=headers, timeout=PATIENCE)
    return [json.loads(line) for line in answer.content.splitlines()]


def lines(room: str, numbers: range, invalid: int | None = None) -> bytes:
    """NDJSON whose line n has the field `n`; line `invalid` is invalid."""
    return b"".join(
        json.dumps({"type": "transcript", "room": room, "n": n, "text": 7 if n == invalid else "a"}).encode() + b"\n"
        for n in numbers
    )


def test_one_event(hub: HubProcess) -> None:
    before = hub.subscribers()
    with hub.stream("?room=one") as stream:
        stream.until("stream_opened")
        hub.newcomer(before)  # subscribed: its replay is over
        words = ["transcript", "text=a=b", "role=user", "room=one", "final:=true", "n:=12345678901234567890123"]
        done = run("post", *words, hub=hub.url)
        event = stream.until("transcript")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"posted: id {event['_id']}, 1 client notified\n", done.stdout)
    assert (event["text"], event["final"], event["n"]) == ("a=b", True, 12345678901234567890123)
    again = run("post", json.dumps({"type": "test", "event_id": event["event_id"]}), hub=hub.url)
    assert again.stdout == f"already stored: id {event['_id']}, 0 clients notified\n"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["transcript", "text:=5"], 1, "text: input should be a valid string, not a number; nothing was sent"),
        (["transcript", "final:=true"], 1, "text: is missing; nothing was sent"),
        (["stream_gap2", "timestamp=now"], 1, "timestamp: input should be a valid number, not text"),
        (['{"type":'], 1, "the event is not JSON: it is cut off"),
        (['[{"type":"test"},3]'], 1, "event 2: an event is a JSON object, not a number; nothing was sent"),
        (["text=hello"], 2, "the type comes first"),
        (["test", "hello"], 2, "'hello' is not a field: write name=text, or name:=JSON"),
        (["test", "a=1", "a=2"], 2, "a is given twice"),
        (["test", "a:=x"], 2, "a:=x: not JSON"),
        (["test", "a:=True"], 2, "a:=True: in JSON, write a:=true"),
        ([], 2, "Give an event, - for stdin"),
        (["--file", "/nowhere/events.ndjson"], 2, "does not exist"),
        (["test", "--rate", "fast"], 2, "--rate fast is not a rate"),
    ],
)
def test_invalid_input_is_explained(hub: HubProcess, words: list[str], code: int, text: str) -> None:
    done = run("post", *words, hub=hub.url)
    assert text in done.stderr
    assert (done.returncode, done.stdout) == (code, "")


def test_a_file_with_an_invalid_line_sends_nothing(hub: HubProcess, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(lines("file700", range(1, 1001), invalid=700))
    done = run("post", "--file", str(file), hub=hub.url)
    assert done.returncode == 1
    assert done.stderr == (
        "event-hub: line 700: text: input should be a valid string, not a number; nothing was sent\n"
    )
    assert stored(hub, "file700") == []
    done = run("post", "--file", str(file), "--skip-broken", hub=hub.url)
    assert done.returncode == 0
    assert "1 invalid line skipped" in done.stdout
    assert "line 700" in done.stderr
    assert [event["n"] for event in stored(hub, "file700")] == [n for n in range(1, 1001) if n != 700]


def test_stdin_with_an_invalid_line_reports_what_was_posted(hub: HubProcess) -> None:
    done = run("post", "-", hub=hub.url, given=lines("in700", range(1, 1001), invalid=700))
    assert done.returncode == 1
    there = stored(hub, "in700")
    assert [event["n"] for event in there] == list(range(1, 700))
    assert re.fullmatch(
        r"event-hub: line 700: text: input should be a valid string, not a number; posted 699 events "
        r"\(lines 1–699\), last id \w+-\d+; fix it and resume with --from-line 700\n",
        done.stderr,
    )
    fixed = lines("in700", range(1, 1001))
    assert run("post", "-", "--from-line", "700", hub=hub.url, given=fixed).returncode == 0
    assert [event["n"] for event in stored(hub, "in700")] == list(range(1, 1001))


def test_a_stream_is_posted_as_it_arrives_and_ctrl_c_reports_what_was_posted(hub: HubProcess, tmp_path: Path) -> None:
    with Running(tmp_path, "post", "-", hub=hub.url, stdin=True) as post:
        post.write(lines("live", range(1, 11)))
        until(lambda: len(stored(hub, "live")) == 10, "ten events, though the input has not ended")
        post.write_partial_line(b'{"type":"test"')
        assert post.end() == 130
        assert re.fullmatch(
            r"event-hub: stopped; posted 10 events \(lines 1–10\), last id \S+; resume with --from-line 11\n",
            post.err,
        )


def test_an_interrupted_file_is_resumed(hub: HubProcess, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(lines("stopped", range(1, 2001)))  # takes twenty seconds: longer than the test
    with Running(tmp_path, "post", "-f", str(file), "--rate", "100", hub=hub.url) as post:
        until(lambda: len(stored(hub, "stopped")) >= 20, "some of it")
        assert post.end() == 130
        found = re.search(r"stopped; posted (\d+) events \(lines 1–\1\), .*; resume with (.*)\n", post.err)
        assert found, post.err
    options = found[2].split()
    assert run("post", "-f", str(file), *options, hub=hub.url).returncode == 0
    assert [event["n"] for event in stored(hub, "stopped")] == list(range(1, 2001))


def test_patience_also_applies_to_the_first_request(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Without --patience, a hub that is not up yet is reported at once."""
    hub = hub_factory()
    with Running(tmp_path, "post", "test", "--patience", "60", hub=hub.url) as post:
        hub.start()
        assert post.wait() == 0
        assert post.out.startswith("posted: id ")


def test_a_hub_that_does_not_come_back(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Unconfirmed events are reported, and resuming the same run does not store them twice."""
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path / 'hub.db'}").start()
    with Running(tmp_path, "post", "-", "--patience", "0.5", hub=hub.url, stdin=True) as post:
        post.write(lines("away", range(1, 11)))
        until(lambda: len(stored(hub, "away")) == 10, "ten events")
        post.write_partial_line(b" ")
        hub.kill()
        post.write(lines("away", range(11, 21)))
        assert post.wait() == 3
        found = re.search(
            r"10 events \(lines 1–10\), .* the next 10 may have been posted too; resume with (.*)\n", post.err
        )
        assert found, post.err
    hub.start()
    options = found[1].split()
    assert options[:3] == ["--from-line", "11", "--run"]
    for duplicates in ("", " (10 duplicates)"):
        done = run("post", "-", *options, hub=hub.url, given=lines("away", range(1, 21)))
        assert done.stdout.startswith(f"posted 10 events{duplicates}, last id"), done
    assert [event["n"] for event in stored(hub, "away")] == list(range(1, 21))


def test_a_restarting_hub_is_waited_for(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_HISTORY=f"sqlite:///{tmp_path / 'hub.db'}").start()
    with Running(tmp_path, "post", "-", hub=hub.url, stdin=True) as post:
        post.write(lines("back", range(1, 11)))
        until(lambda: len(stored(hub, "back")) == 10, "ten events")
        post.write_partial_line(b" ")
        hub.kill()
        post.write(lines("back", range(11, 21)))
        assert post.process.stdin is not None
        post.process.stdin.close()
        hub.start()
        assert post.wait() == 0, post.err
    assert [event["n"] for event in stored(hub, "back")] == list(range(1, 21))


def test_dry_run_reports_every_invalid_line_without_a_hub(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    deep = b"[" * 100_000
    invalid = {
        3: b'{"type":"test","n":1e999}',
        5: b'{"type":"test","n":NaN}',
        7: b'{"type":"test","text":"\xff"}',
        9: b'{"type":"test","n":' + deep,
        11: b'{"type":"test","x":"' + b"x" * 70_000 + b'"}',
        13: b'{"type":"test","n":' + b"1" * 5000 + b"}",
        15: b'{"type":"te st"}',
        17: b"hello",
        19: b'["test"]',
        21: b'{"type":"test","text":"\\ud800"}',
        23: b'{"type":"test","x":"' + b"x" * 9_000_000 + b'"}',
    }
    good = b'{"type":"test","n":123456789012345678901234567890}\r'
    file.write_bytes(b"\xef\xbb\xbf" + b"\n".join(invalid.get(n, good if n % 4 else b" ") for n in range(1, 25)))
    done = run("post", "--dry-run", "--file", str(file), hub="http://localhost:1")
    assert done.returncode == 1
    reported = dict(re.findall(r"line (\d+): (.*)", done.stderr))
    assert sorted(map(int, reported)) == sorted(invalid), done.stderr
    assert reported == {
        "3": "contains a number that is too large",
        "5": "not JSON: invalid character (byte 19)",
        "7": "not UTF-8: byte 0xff at 23",
        "9": "nested too deeply",
        "11": "70,082 bytes as JSON, the limit is 65,536 (HUB_MAX_EVENT)",
        "13": "contains a number that is too large",
        "15": "type: must be 1 to 64 characters of a-z A-Z 0-9 _ . : -",
        "17": "not JSON: invalid character (byte 0)",
        "19": "an event is a JSON object, not a list",
        "21": "not JSON: it is cut off, or contains half a surrogate pair",
        "23": "longer than 8 MiB: NDJSON has one event per line",
    }
    assert done.stdout == "18 events checked, 11 invalid, nothing was sent\n"
    assert run("post", "--dry-run", "test").stdout == "1 event checked, none invalid, nothing was sent\n"


def test_an_export_can_be_posted(hub: HubProcess, hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    """Ids are kept, so that nothing is stored twice, unless --new-ids replaces them."""
    other = hub_factory().start()
    assert run("post", "-", hub=hub.url, given=lines("again", range(1, 51))).returncode == 0
    file = tmp_path / "again.jsonl"
    assert run("export", "--room", "again", "-o", str(file), hub=hub.url).returncode == 0
    gap = b'{"type":"stream_gap","missed":3,"from":"a-1","to":"a-4","reason":"retention"}\n'
    file.write_bytes(gap + file.read_bytes())
    done = run("post", "--file", str(file), hub=other.url)
    assert re.fullmatch(r"posted 50 events, last id \S+, 0 clients notified; 1 stream_gap line skipped\n", done.stdout)
    assert "posted 50 events (50 duplicates)" in run("post", "--file", str(file), hub=other.url).stdout
    assert stored(other, "again") == stored(hub, "again")
    assert run("post", "--file", str(file), "--new-ids", hub=other.url).returncode == 0
    assert len(stored(other, "again")) == 100


def test_an_array_and_an_object_on_several_lines(hub: HubProcess, tmp_path: Path) -> None:
    array, single = tmp_path / "array.json", tmp_path / "single.json"
    array.write_text(json.dumps([{"type": "test", "room": "array", "n": n} for n in range(3)], indent=2))
    single.write_text(json.dumps({"type": "test", "room": "array", "n": 3}, indent=2))
    assert run("post", "-f", str(array), hub=hub.url).returncode == 0
    assert run("post", "-f", str(single), hub=hub.url).returncode == 0
    assert [event["n"] for event in stored(hub, "array")] == [0, 1, 2, 3]
    array.write_text('[{"type":"test","room":"array"},{"type":""}]')
    done = run("post", "-f", str(array), hub=hub.url)
    assert "event 2: type: must be" in done.stderr
    assert len(stored(hub, "array")) == 4


def test_batches_fit_the_hubs_own_limits(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    hub = hub_factory(HUB_MAX_EVENT="2KiB", HUB_MAX_BODY="4KiB").start()
    events = [{"type": "test", "room": "small", "x": "x" * 900, "n": n} for n in range(40)]
    data = "".join(json.dumps(event) + "\n" for event in events).encode()
    assert run("post", "-", hub=hub.url, given=data).returncode == 0
    assert [event["n"] for event in stored(hub, "small")] == list(range(40))
    large = json.dumps({"type": "test", "x": "x" * 3000})
    done = run("post", large, hub=hub.url)
    assert done.returncode == 1
    assert "bytes as JSON, the limit is 2,048" in done.stderr


def test_the_rate_is_limited(hub: HubProcess, tmp_path: Path) -> None:
    """60 events at 40/s take 1.4 s, of which up to one second may be caught up after a slow first response."""
    assert run("post", "-", "--rate", "40/s", hub=hub.url, given=lines("rate", range(60))).returncode == 0
    stamps = [event["timestamp"] for event in stored(hub, "rate")]
    assert len(stamps) == 60
    assert stamps[-1] - stamps[0] > 0.35


def test_a_progress_bar_on_a_terminal(hub: HubProcess, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(lines("bar", range(40)))
    with Terminal("post", "-f", str(file), "--rate", "30", hub=hub.url, columns=60) as terminal:
        terminal.until(lambda text: re.search(r"\[#+\.*\] +\d+%  posted \d+ events", text), "the bar")
        terminal.until(lambda text: "posted 40 events, last id" in text, "the summary")
        assert terminal.wait() == 0
        bars = [part for part in re.split(r"\r\x1b\[2K|\r\n", terminal.text) if part.startswith("[")]
        assert max(map(len, bars)) < 60  # a bar that wraps cannot be erased


def test_sigterm_is_handled_like_ctrl_c(hub: HubProcess, tmp_path: Path) -> None:
    with Running(tmp_path, "post", "-", hub=hub.url, stdin=True) as post:
        post.write(lines("term", range(1, 4)))
        until(lambda: len(stored(hub, "term")) == 3, "three events")
        post.write_partial_line(b" ")
        assert post.end(signal.SIGTERM) == 143
        assert "resume with --from-line 4" in post.err
