"""`/ws/transcribe-stream`: transcribes speech while it is spoken, with any LiveKit STT."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from event_hub.websocket_protocols.audio import (
    TRANSCRIPTION_COMMANDS,
    Final,
    Partial,
    SpeechEnded,
    SpeechStarted,
    TranscriptionReady,
)
from event_hub.websocket_protocols.base import Frame
from event_hub.websocket_protocols.detect import TRANSCRIBE

from ..connection import Connection
from ..frames import FrameError, decode
from . import pcm
from .session_id import session_id_of

if TYPE_CHECKING:
    from ..reporting import ReportedSession
    from ..server import Gateway

LOCAL_STREAMS = 4
"""Transcriptions by the local STT at the same time: each is a process of 115 MB that takes a fifth of a
processor during speech."""
CLOSED_BUSY = 4429


async def transcribe(connection: Connection, gateway: Gateway) -> None:
    """Serve one client. Its upstream session ends with it."""
    recogniser = await gateway.parts.stt()
    local = bool(getattr(recogniser, "takes_any_pace", False))
    active: set[str] = gateway.state.setdefault("local transcriptions", set())
    if local:
        if len(active) >= LOCAL_STREAMS:
            await connection.error("stt_busy", f"{LOCAL_STREAMS} transcriptions are in progress: try again later.")
            await connection.close(CLOSED_BUSY, "stt_busy")
            return
        active.add(connection.id)
    try:
        await _serve(connection, gateway, recogniser, paced=not local)
    finally:
        active.discard(connection.id)


async def _serve(connection: Connection, gateway: Gateway, recogniser: Any, *, paced: bool) -> None:
    from .transcriber import Transcriber  # loads LiveKit

    session = session_id_of(connection)
    reported = gateway.report(session=session, participant="user", mode="transcription")

    async def send(frame: Frame) -> None:
        _report(reported, frame)
        await connection.send(frame)

    transcriber = Transcriber(
        recogniser, send, connection.error, lambda message: reported.error(message, "stt"), paced=paced
    )
    await connection.send(TranscriptionReady(sample_rate=pcm.RATE, channels=1, session_id=session))
    reported.started()
    running = asyncio.create_task(transcriber.run(), name=f"{connection.id} transcription")
    reading = asyncio.create_task(_read(connection, transcriber.audio), name=f"{connection.id} audio")
    leaving = asyncio.create_task(connection.left.wait(), name=f"{connection.id} leaves")
    tasks: tuple[asyncio.Task[Any], ...] = (running, reading, leaving)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not running.done() and gateway.closing.is_set():
            await asyncio.gather(reading)
            transcriber.finish()
            await asyncio.wait([running])
        for task in (running, reading):
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for frame in transcriber.close():
            _report(reported, frame)
        reported.ended("disconnected")


async def _read(connection: Connection, audio: pcm.AudioQueue) -> None:
    """Take the client's frames, no faster than they are transcribed."""
    async for frame in connection.frames():
        try:
            if isinstance(frame, bytes):
                pcm.check(frame)
                await audio.put(frame)
            else:
                decode(frame, TRANSCRIPTION_COMMANDS, TRANSCRIBE)
                audio.put_end()
        except FrameError as error:
            await connection.error(error.code, error.sentence)


def _report(reported: ReportedSession, frame: Frame) -> None:
    """Report to the hub what is sent to the client."""
    if isinstance(frame, SpeechStarted | SpeechEnded):
        reported.user_speech(isinstance(frame, SpeechStarted))
    elif isinstance(frame, Partial):
        reported.user_interim(frame.text, frame.utterance)
    elif isinstance(frame, Final):
        reported.user_said(frame.text, frame.utterance)
