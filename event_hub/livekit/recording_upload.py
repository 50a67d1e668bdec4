"""Uploads a session's recording to the hub if LiveKit's agent does not upload it anywhere.

`session.start(record={"audio": True})` records in a file, which LiveKit's agent deletes with the job, unless it uploads it
to LiveKit Cloud or to LIVEKIT_OBSERVABILITY_URL; then this module does nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from livekit.agents import AgentSession, JobContext
from livekit.protocol import metrics

from ..client import Publisher
from ..client.credentials import for_recordings

logger = logging.getLogger("event_hub.livekit")

PATH = "/observability/recordings/v0"
_TIMEOUT = (3.0, 30.0)
"""Seconds to connect, and to wait for the answer. LiveKit ends the job's process ten seconds after it was asked to."""
_PIECE = 1 << 20


def upload_at_the_end(job: JobContext, session: AgentSession[Any], publisher: Publisher) -> None:
    """When the job ends, upload its recording to the publisher's hub, if there is one that goes nowhere else."""
    if goes_elsewhere(job):
        return

    async def upload() -> None:
        try:
            if is_primary(job, session) and (parts := _parts(job, session)) is not None:
                await asyncio.to_thread(_send, publisher.url, *parts)
        except Exception as error:
            logger.warning("The recording could not be uploaded to the hub at %s: %s", publisher.url, error)

    job.add_shutdown_callback(upload)


def is_primary(job: JobContext, session: AgentSession[Any]) -> bool:
    """Whether this is the session of its job that LiveKit records."""
    try:
        return job.primary_session is session
    except RuntimeError:  # none has started
        return False


def goes_elsewhere(job: JobContext) -> bool:
    """Whether LiveKit's agent uploads recordings itself."""
    host = urlsplit(getattr(getattr(job, "_info", None), "url", "") or "").hostname or ""
    return bool(os.environ.get("LIVEKIT_OBSERVABILITY_URL")) or host.endswith((".livekit.cloud", ".livekit.run"))


def _parts(job: JobContext, session: AgentSession[Any]) -> tuple[bytes, bytes | None, Path] | None:
    """Header, chat history and file; None if nothing was recorded."""
    options = session.options.recording_options
    if not options.get("audio"):
        return None
    report = job.make_session_report(session)
    path = report.audio_recording_path
    if path is None or not Path(path).is_file() or not report.audio_recording_started_at:
        return None
    header = metrics.MetricsRecordingHeader(
        room_id=report.room_id,
        job_id=report.job_id,
        duration=int((report.duration or 0) * 1000),
        redaction_enabled=bool(options.get("redaction")),
        session_summary=json.dumps(report.to_dict(include_chat_history=False, include_events=False)),
    )
    header.start_time.FromMilliseconds(int(report.audio_recording_started_at * 1000))
    chat = None
    if options.get("transcript"):
        chat = json.dumps(report.chat_history.to_dict(exclude_timestamp=False)).encode()
    return header.SerializeToString(), chat, Path(path)


def _send(hub: str, header: bytes, chat: bytes | None, audio: Path) -> None:
    boundary = uuid.uuid4().hex

    def head(name: str, filename: str, kind: str) -> bytes:
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
        return f"--{boundary}\r\nContent-Type: {kind}\r\n{disposition}\r\n\r\n".encode()

    before = head("header", "header.binpb", "application/protobuf") + header + b"\r\n"
    if chat is not None:
        before += head("chat_history", "chat_history.json", "application/json") + chat + b"\r\n"
    before += head("audio", "recording.ogg", "audio/ogg")
    after = f"\r\n--{boundary}--\r\n".encode()

    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if bearer := for_recordings():
        headers["Authorization"] = f"Bearer {bearer}"
    answer = requests.post(hub + PATH, data=_Body(before, audio, after), headers=headers, timeout=_TIMEOUT)
    if not answer.ok:
        raise RuntimeError(f"the hub answers {answer.status_code}: {answer.text[:200]}")


class _Body:
    """A body that is read from a file piece by piece. Its length lets requests declare it."""

    def __init__(self, before: bytes, path: Path, after: bytes) -> None:
        self._before, self._path, self._after = before, path, after

    def __len__(self) -> int:
        return len(self._before) + self._path.stat().st_size + len(self._after)

    def __iter__(self) -> Iterator[bytes]:
        yield self._before
        with self._path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
        yield self._after
