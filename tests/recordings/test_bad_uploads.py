"""Uploads that are wrong, huge, cut off or repeated: each gets a clear error and costs no other client anything."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from ..hubs import HubProcess, until
from .uploads import CALL, JOB, LIVEKIT, LOGS, METRICS, RECORDINGS, REQUESTS, TRACES, post, recording, session, token

Make = Callable[..., HubProcess]
TRACE = (CALL / "traces-04.pb").read_bytes()


def parts() -> dict[str, bytes]:
    """The parts of the recorded upload."""
    raw = (CALL / "recordings-09.multipart").read_bytes()
    boundary = b"--" + REQUESTS[9]["headers"]["Content-Type"].rpartition("=")[2].encode()
    found = {}
    for piece in raw.split(boundary)[1:-1]:
        head, _, data = piece.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        found[name] = data[:-2]
    return found


PARTS = parts()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    from ..conftest import outliving

    with outliving() as keep:
        hub = HubProcess(tmp_path_factory.mktemp("bad"), **LIVEKIT).start()
        keep()
        try:
            yield hub
        finally:
            hub.stop()


@pytest.fixture(autouse=True)
def _unharmed(hub: HubProcess) -> Iterator[None]:
    """Whatever was sent, the hub serves on, and nothing is left of an upload."""
    yield
    assert requests.get(f"{hub.url}/api/health", timeout=30).json()["status"] == "ok"
    incoming = hub.folder / "recordings" / "incoming"
    until(lambda: not list(incoming.glob("*")), "leftovers of uploads")


@pytest.mark.parametrize("path", [TRACES, LOGS, METRICS])
@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (TRACE[:-7], {}, 400, "bad_body"),
        (b"\xff" * 100, {}, 400, "bad_body"),
        (gzip.compress(TRACE)[:-9], {"Content-Encoding": "gzip"}, 400, "bad_body"),
        (b"not gzip at all", {"Content-Encoding": "gzip"}, 400, "bad_body"),
        (TRACE, {"Content-Encoding": "br"}, 415, "unsupported_encoding"),
        (TRACE, {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (TRACE, {"Content-Type": ""}, 415, "unsupported_media_type"),
        (b"{", {"Content-Type": "application/json"}, 400, "bad_json"),
        (b"[1]", {"Content-Type": "application/json"}, 400, "bad_json"),
        (b"[" * 100_000, {"Content-Type": "application/json"}, 400, "bad_json"),
        (
            b'{"resourceSpans": 7, "resourceLogs": 7, "resourceMetrics": 7}',
            {"Content-Type": "application/json"},
            400,
            "bad_json",
        ),
    ],
)
def test_what_is_not_otlp(
    hub: HubProcess, path: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = post(hub, path, body, **headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


@pytest.mark.parametrize("path", [TRACES, LOGS, METRICS])
def test_an_empty_request_is_no_error(hub: HubProcess, path: str) -> None:
    assert post(hub, path, b"").status_code == 200


def test_a_gzip_bomb_is_bounded_when_unpacked(hub: HubProcess) -> None:
    """Issue 18: 1 GiB of zeroes in 1 MB."""
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=9) as file:
        zeroes = bytes(1 << 20)
        for _ in range(512):
            file.write(zeroes)
    began = time.monotonic()
    answer = post(hub, TRACES, bomb.getvalue(), **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert time.monotonic() - began < 60


def test_a_hundred_thousand_spans_from_the_future_and_out_of_order(hub: HubProcess) -> None:
    """Issue 18: they are kept, up to a limit, while other requests are served."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    rng = random.Random(18)
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for _ in range(100_000):
        span = spans.add(trace_id=b"t" * 16, span_id=rng.randbytes(8), name="many")
        span.start_time_unix_nano = rng.choice([0, 1, 1 << 60, (1 << 64) - 1])
        span.end_time_unix_nano = rng.choice([0, 1, 1 << 60, (1 << 64) - 1])
    spans[0].name = "job_entrypoint"
    for key, value in (("job_id", "AJ_many"), ("room_id", "RM_many")):
        spans[0].attributes.add(key=key).value.string_value = value
    body = gzip.compress(request.SerializeToString(), 1)
    assert post(hub, TRACES, body, **{"Content-Encoding": "gzip"}).status_code == 200
    session(hub, "AJ_many")
    trace = requests.get(f"{hub.url}/api/sessions/AJ_many/trace", timeout=60).json()
    assert len(trace["spans"]) == 50_000
    one_more = ExportTraceServiceRequest()
    one_more.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"x" * 8, name="late")
    assert post(hub, TRACES, one_more.SerializeToString()).status_code == 200


def test_ids_that_are_none(hub: HubProcess) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"short", span_id=b"x", name="s")
    assert post(hub, TRACES, request.SerializeToString()).json()["code"] == "bad_body"


@pytest.mark.parametrize(
    ("made", "status", "code"),
    [
        (lambda: recording(PARTS["header"], audio=PARTS["audio"], end=False), 400, "bad_body"),
        (lambda: (b"no boundary in here", "multipart/form-data; boundary=x"), 400, "bad_body"),
        (lambda: (b"", "multipart/form-data; boundary=x"), 400, "bad_body"),
        (lambda: (b"x", "multipart/form-data"), 415, "unsupported_media_type"),
        (lambda: (b"x", "application/x-protobuf"), 415, "unsupported_media_type"),
        (lambda: (recording(PARTS["header"])[0].replace(b'"header"', b'"other"'), recording(b"")[1]), 400, "bad_body"),
        (lambda: recording(b"\xff\xff\xff"), 400, "bad_body"),
        (lambda: recording(b""), 422, "bad_field"),
        (lambda: recording(PARTS["header"], chat=b"{"), 400, "bad_json"),
        (lambda: recording(PARTS["header"], chat=b'{"items": 7}'), 400, "bad_json"),
        (lambda: recording(b"\x00" * (2 << 20)), 413, "body_too_large"),
    ],
)
def test_what_is_not_a_recording(
    hub: HubProcess, made: Callable[[], tuple[bytes, str]], status: int, code: str
) -> None:
    body, kind = made()
    answer = post(hub, RECORDINGS, body, **{"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def header(job: str, **fields: Any) -> bytes:
    from livekit.protocol import metrics

    made: bytes = metrics.MetricsRecordingHeader(
        job_id=job, session_summary=json.dumps({"room": job}), **fields
    ).SerializeToString()
    return made


@pytest.mark.parametrize(
    "audio",
    [b"RIFF....WAVEfmt ", b"OggS", b"OggS" + bytes(100), PARTS["audio"][:40], b"\x00" * 70_000],
)
def test_an_ogg_that_is_none_is_refused_and_the_chat_history_is_kept(hub: HubProcess, audio: bytes) -> None:
    """Issue 18: the agent does not upload it again, so the rest must not be lost with it."""
    job = f"AJ_noogg{len(audio)}"
    body, kind = recording(header(job), chat=PARTS["chat_history"], audio=audio)
    answer = post(hub, RECORDINGS, body, **{"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_recording")
    told = session(hub, job)
    assert told["recording"] is None
    assert told["counts"]["user_transcripts"] == 3


def test_names_that_would_leave_the_folder(hub: HubProcess) -> None:
    """A job's id is a name in no path."""
    for job in ("../../evil", "a/b", "..", ".", "x\u2028y", "\u00e4" * 100):
        body, kind = recording(header(job), audio=PARTS["audio"])
        assert post(hub, RECORDINGS, body, **{"Content-Type": kind}).status_code in (200, 422)
    kept = list(hub.folder.rglob("*.ogg"))
    assert kept
    assert {path.parent for path in kept} == {hub.folder / "recordings" / "audio"}


def test_a_recording_for_an_unknown_job_without_chat_or_audio(hub: HubProcess) -> None:
    body, kind = recording(header("AJ_nothing"))
    assert post(hub, RECORDINGS, body, **{"Content-Type": kind}).status_code == 200
    told = session(hub, "AJ_nothing")
    assert (told["status"], told["recording"]) == ("ended", None)


def test_an_upload_that_stops_gives_its_place_up(hub_factory: Make) -> None:
    """Issue 18: a multipart without an end."""
    hub = hub_factory(**LIVEKIT, HUB_BODY_TIMEOUT="1s").start()
    body, kind = recording(PARTS["header"], audio=PARTS["audio"])
    with socket.create_connection(("127.0.0.1", hub.port), timeout=30) as client:
        client.sendall(
            f"POST {RECORDINGS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body[:200_000]
        )
        answer = client.recv(65536)
    assert b"408" in answer.splitlines()[0]
    until(lambda: not list((hub.folder / "recordings" / "incoming").glob("*")), "its file is removed")


def test_a_limit_of_its_own(hub_factory: Make) -> None:
    """Issue 18: HUB_MAX_BODY does not limit a recording, HUB_MAX_RECORDING does."""
    hub = hub_factory(**LIVEKIT, HUB_MAX_BODY="64KiB", HUB_MAX_RECORDING="1MiB").start()
    body, kind = recording(PARTS["header"], chat=PARTS["chat_history"], audio=PARTS["audio"])
    assert len(body) > 64 << 10
    assert post(hub, RECORDINGS, body, **{"Content-Type": kind}).status_code == 200
    big, kind = recording(header("AJ_big"), audio=PARTS["audio"] + bytes(2 << 20))
    assert post(hub, RECORDINGS, big, **{"Content-Type": kind}).json()["code"] == "body_too_large"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system: run as root")
def test_a_full_disk_is_503_and_the_stream_goes_on(hub_factory: Make) -> None:
    """Issue 18: LiveKit's exporters retry after 503, its recordings after a RetryInfo."""
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    hub = hub_factory(**LIVEKIT)
    small = hub.folder / "recordings"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], check=True)
    try:
        hub.start()
        body, kind = recording(PARTS["header"], chat=PARTS["chat_history"], audio=PARTS["audio"])
        answer = post(hub, RECORDINGS, body, **{"Content-Type": kind})
        assert answer.status_code == 503
        status = Status.FromString(answer.content)
        info = RetryInfo()
        assert status.details[0].Unpack(info)
        assert info.retry_delay.seconds > 0
        filler = small / "filler"
        with open(filler, "wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(4096))
        answer = post(hub, TRACES, TRACE)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        event = {"type": "transcript", "text": "still here"}
        assert requests.post(f"{hub.url}/api/agent/data", json=event, timeout=30).status_code == 200
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        assert post(hub, TRACES, TRACE).status_code == 200
        assert post(hub, RECORDINGS, body, **{"Content-Type": kind}).status_code == 200
        session(hub, JOB)
    finally:
        hub.stop()
        subprocess.run(["umount", str(small)], check=True)


def test_others_are_served_while_a_large_recording_comes_in(hub: HubProcess) -> None:
    """An upload of 20 MB and a stream of events beside it."""
    audio = PARTS["audio"]
    body, kind = recording(header("AJ_large"), audio=audio + bytes(20 << 20) + audio[-4096:])
    with socket.create_connection(("127.0.0.1", hub.port), timeout=60) as client:
        client.sendall(
            f"POST {RECORDINGS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
        )
        for begin in range(0, len(body), 1 << 20):
            client.sendall(body[begin : begin + (1 << 20)])
            event = {"type": "transcript", "text": str(begin)}
            assert requests.post(f"{hub.url}/api/agent/data", json=event, timeout=30).status_code == 200
        answer = client.recv(65536)
    assert answer.split()[1] in (b"200", b"422")


def test_a_page_of_another_origin_uploads_nothing(hub_factory: Make) -> None:
    """Any page can make a browser post a multipart body to this machine."""
    hub = hub_factory().start()
    body, kind = recording(header("AJ_foreign"), audio=PARTS["audio"])
    foreign = {"Content-Type": kind, "Authorization": "", "Origin": "https://evil.example"}
    assert post(hub, RECORDINGS, body, **foreign).json()["code"] == "forbidden_origin"
    assert (
        post(hub, TRACES, TRACE, Origin="https://evil.example", Authorization="").json()["code"] == "forbidden_origin"
    )
    assert not list(hub.folder.rglob("*.ogg"))


def test_redaction_comes_before_the_disk(hub_factory: Make) -> None:
    hub = hub_factory(**LIVEKIT, HUB_REDACT="email").start()
    chat = {"items": [{"id": "i1", "type": "message", "role": "user", "content": ["write to ada@example.org"],
                       "created_at": 1795649500.0}]}  # fmt: skip
    body, kind = recording(header("AJ_mail"), chat=json.dumps(chat).encode())
    assert post(hub, RECORDINGS, body, **{"Content-Type": kind}).status_code == 200
    kept = b"".join(path.read_bytes() for path in (hub.folder / "recordings").glob("recordings.db*"))
    assert b"[email]" in kept
    assert b"ada@example.org" not in kept


def test_a_log_record_without_a_level_is_listed(hub: HubProcess) -> None:
    record = {"timeUnixNano": "1795649500000000000", "body": {"stringValue": "no level"},
              "attributes": [{"key": "job_id", "value": {"stringValue": "AJ_level"}}]}  # fmt: skip
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"scope": {"name": "app"}, "logRecords": [record]}]}]}).encode()
    assert post(hub, LOGS, body, **{"Content-Type": "application/json"}).status_code == 200
    event = {"type": "session_started", "session": "level", "job": "AJ_level"}
    assert requests.post(f"{hub.url}/api/agent/data", json=event, timeout=30).status_code == 200
    lines = requests.get(f"{hub.url}/api/sessions/level/logs", timeout=30).json()["logs"]
    assert [(line["level"], line["message"]) for line in lines] == [("info", "no level")]
