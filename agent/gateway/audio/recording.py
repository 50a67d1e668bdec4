"""`/ws/audio-stream`: records what a client sends between START_RECORDING and STOP_RECORDING."""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from typing import TYPE_CHECKING

from event_hub.websocket_protocols.audio import (
    RECORDING_COMMANDS,
    RecordingEmpty,
    RecordingSaved,
    RecordingStarted,
    StartRecording,
)
from event_hub.websocket_protocols.base import Frame
from event_hub.websocket_protocols.detect import COMMANDS, RECORD

from ..connection import Connection, Gone
from ..frames import FrameError, decode
from .audio_file import RecordingFile
from .session_id import asked_session_id
from .uploads import Saved, Uploads, UploadsFull, hub_copies_of, uploads_of

if TYPE_CHECKING:
    from ..reporting import ReportedSession
    from ..server import Gateway

logger = logging.getLogger("agent.gateway")


async def record(connection: Connection, gateway: Gateway) -> None:
    """Serve one client. A recording in progress is saved when the client leaves and when the gateway stops."""
    uploads = uploads_of(gateway)
    asked = asked_session_id(connection)
    common = gateway.report(session=asked, participant="user", mode="recording") if asked is not None else None
    recorder = _Recorder(connection, uploads, gateway, common)
    try:
        async for frame in connection.frames():
            try:
                if isinstance(frame, bytes):
                    await recorder.audio(frame)
                else:
                    await recorder.command(_decode(frame))
            except FrameError as error:
                await connection.error(error.code, error.sentence)
        await recorder.finish()
    except Gone:
        await recorder.finish()
        raise
    finally:
        recorder.abandon()
        if common is not None:
            common.ended("disconnected")


def _decode(text: str) -> Frame:
    command = text.strip()
    return RECORDING_COMMANDS[command]() if command in COMMANDS else decode(text, RECORDING_COMMANDS, RECORD)


class _Recorder:
    """One client's recordings, one at a time. Each is a session of its own on the hub, which plays it."""

    def __init__(
        self, connection: Connection, uploads: Uploads, gateway: Gateway, common: ReportedSession | None
    ) -> None:
        """`common`: the session that the client named; its recordings are reported to it too."""
        self._connection, self._uploads, self._gateway, self._common = connection, uploads, gateway, common
        self._limit = gateway.settings.recording_size
        self._copies = hub_copies_of(gateway)
        self._own: ReportedSession | None = None
        """The session of the recording in progress."""
        self._started: float | None = None
        """When its first sample arrived."""
        self._file: RecordingFile | None = None
        self._stray = False
        """Whether the client was told that audio outside of a recording is ignored."""

    async def command(self, frame: Frame) -> None:
        """Begin or end a recording. Raises FrameError, Gone."""
        if isinstance(frame, StartRecording):
            await self._begin(frame)
        elif self._file is None:
            raise FrameError("not_recording", "Nothing is being recorded. Send START_RECORDING first.")
        else:
            await self.finish()

    async def audio(self, data: bytes) -> None:
        """Append a binary frame. Raises FrameError, Gone."""
        if self._file is None:
            if not self._stray:
                self._stray = True
                raise FrameError(
                    "not_recording", "Audio outside of a recording is ignored: send START_RECORDING first."
                )
            return
        if self._started is None and self._own is not None:
            self._started = time.time()
            self._own.started()
        refusal: FrameError | None = None
        if self._file.size + len(data) > self._limit:
            refusal = FrameError(
                "recording_too_large",
                f"A recording may have {self._limit} bytes: this one is saved without the frame that was too much. "
                "Start another one.",
            )
        else:
            try:
                await self._uploads.write(self._file, data)
            except UploadsFull:
                refusal = FrameError("uploads_full", f"{self._full()} What was recorded is saved.")
            except OSError as error:
                refusal = _disk_error(error, "The recording ends here, what was written is saved.")
        if refusal is not None:
            await self._connection.error(refusal.code, refusal.sentence)
            await self.finish()

    async def finish(self) -> None:
        """Save the recording in progress, if there is one, and tell the client and the hub. Raises Gone."""
        file, self._file, self._stray = self._file, None, False
        started, self._started = self._started, None
        if file is None:
            return
        try:
            saved = await self._uploads.save(file)
        except OSError as error:
            refusal = _disk_error(
                error, "The recording cannot be completed; the next start of the gateway tries again."
            )
            for session in self._sessions():
                session.error(refusal.sentence, "gateway")
            self._end("error")
            with contextlib.suppress(Gone):
                await self._connection.error(refusal.code, refusal.sentence)
            return
        if saved is None:
            self._end("empty")
            await self._send(RecordingEmpty(message="No audio was received, so no file was written."))
        else:
            frame = _saved_frame(saved)
            fields = frame.fields()
            del fields["type"]
            recording = fields.pop("session_id")
            for session in self._sessions():
                session.custom("recording_saved", recording=recording, **fields)
            self._end("saved")
            try:
                await self._send(frame)
            finally:
                if self._copies is not None:
                    await self._copies.want(saved.path, started)

    def abandon(self) -> None:
        """Leave an unsaved recording to the next start of the gateway, which did not wait for it."""
        if self._file is not None:
            self._uploads.abandon(self._file)
            self._file = None
        self._end("gateway_stopped")

    def _sessions(self) -> list[ReportedSession]:
        return [session for session in (self._own, self._common) if session is not None]

    def _end(self, reason: str) -> None:
        own, self._own = self._own, None
        if own is not None:
            own.ended(reason)

    async def _begin(self, frame: StartRecording) -> None:
        if self._file is not None:
            raise FrameError("already_recording", "A recording is in progress and goes on: send STOP_RECORDING first.")
        try:
            session, self._file = await self._uploads.begin(declared=frame.format, rate=frame.sample_rate)
        except UploadsFull:
            raise FrameError("uploads_full", self._full()) from None
        except OSError as error:
            raise _disk_error(error, "Nothing is recorded.") from None
        self._stray = False
        self._own = self._gateway.report(session=session, participant="user", mode="recording", job=session)
        if self._common is not None:
            self._common.started()
        await self._send(RecordingStarted(session_id=session))

    async def _send(self, frame: Frame) -> None:
        await self._connection.send(frame)

    def _full(self) -> str:
        return f"The recordings have reached GATEWAY_UPLOADS_SIZE, {self._uploads.limit} bytes: remove some."


def _saved_frame(saved: Saved) -> RecordingSaved:
    return RecordingSaved(
        session_id=saved.session,
        file=saved.path.name,
        url=saved.url,
        format=saved.kind,
        bytes=saved.size,
        duration=None if saved.duration is None else round(saved.duration, 3),
        message=saved.message,
    )


def _disk_error(error: OSError, then: str) -> FrameError:
    """The folder's path stays in the gateway's log: clients need not know it."""
    logger.warning("recording: %s", error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return FrameError("disk_full", f"The gateway's disk is full. {then}")
    return FrameError("uploads_unwritable", f"GATEWAY_UPLOADS cannot be written ({error.strerror or error}). {then}")
