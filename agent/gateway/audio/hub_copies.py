"""Sends finished recordings to the hub, so that they can be heard on the pages of their sessions.

Recordings are sent in the background, one at a time, and retried until the hub has them. A note beside each file marks it as
unsent, so that the next start of the gateway sends it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from event_hub.client.credentials import for_recordings

from . import encode
from .audio_file import duration_of
from .formats import ENCODED, UNSENT, is_note, session_of

logger = logging.getLogger("agent.gateway")

PATH = "/observability/recordings/v0"
WAITING = 1000
"""Recordings that wait for the hub: for more, the oldest stay in the folder alone."""
FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0
"""Seconds before the next attempt: doubled after each."""
ENCODE_TIMEOUT, SEND_TIMEOUT = 900.0, 300.0
_TRANSIENT = frozenset({408, 425, 429})
_DENIED = frozenset({401, 403})


class _Later(Exception):
    """The hub did not take it now. The text says why."""


class _Never(Exception):
    """The hub will not take it. `next_start`: unless the gateway is started again, with other settings."""

    def __init__(self, reason: str, *, next_start: bool = False) -> None:
        super().__init__(reason)
        self.next_start = next_start


class HubCopies:
    """The recordings of one folder that the hub at `hub` has yet to get."""

    def __init__(self, folder: Path, in_thread: Callable[..., Awaitable[Any]], hub: str, room: str) -> None:
        """`in_thread`: calls a function with arguments in a thread. `room`: that of the recordings' sessions."""
        self._folder, self._in_thread = folder, in_thread
        self._hub, self._room = hub.rstrip("/"), room
        self._waiting: deque[str] = deque()
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="recordings to the hub")

    async def want(self, path: Path, started: float | None = None) -> None:
        """Send this recording in due time. `started`: when its first sample arrived, in epoch seconds; None: as its name
        says. Never raises."""
        if path.suffix != ".wav":
            return  # its format is unknown, or it could not be decoded
        stem = path.stem
        try:
            await self._in_thread(self._note(stem).write_text, json.dumps({"started": started}))
        except OSError as error:
            logger.warning("%s cannot be noted for the hub: %s", path.name, error.strerror or error)
            return
        self._waiting.append(stem)
        self._more.set()

    async def aclose(self) -> None:
        """Stop. The next start sends the rest."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._waiting:
            logger.info("%d recordings have yet to be sent to the hub", len(self._waiting))

    # -- its task ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        for stem in await self._in_thread(_left, self._folder):
            if stem not in self._waiting:
                self._waiting.appendleft(stem)
        attempts, complaint = 0, ""
        while True:
            while not self._waiting:
                self._more.clear()
                await self._more.wait()
            while len(self._waiting) > WAITING:
                await self._drop(self._waiting.popleft(), f"more than {WAITING} recordings wait for the hub")
            stem = self._waiting[0]
            try:
                await self._send(stem)
            except _Later as later:
                if str(later) != complaint:
                    complaint = str(later)
                    logger.warning("Recordings do not reach the hub: %s. The gateway tries again.", complaint)
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempts, 20))
                attempts += 1
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                continue
            except _Never as never:
                if never.next_start:
                    logger.warning("The recording %s is not on the hub: %s", stem, never)
                else:
                    await self._drop(stem, str(never))
            except Exception:
                logger.exception("The recording %s is not on the hub", stem)
            else:
                await self._settle(stem)
            attempts, complaint = 0, ""
            self._waiting.remove(stem)
            await self._in_thread(_remove, self._encoded(stem))

    async def _send(self, stem: str) -> None:
        """Send one recording. Raises `_Later`, `_Never`."""
        source, target = self._folder / f"{stem}.wav", self._encoded(stem)
        try:
            started, duration = await self._in_thread(_times, self._note(stem), source)
        except FileNotFoundError:
            return  # removed since
        except (OSError, EOFError, ValueError) as error:
            raise _Never(f"it cannot be read ({error})") from None
        if not await self._in_thread(target.exists):
            await self._encode(source, target)
        header = await self._in_thread(_header, session_of(f"{stem}.wav"), self._room, started, duration)
        await self._post(header, target)

    async def _encode(self, source: Path, target: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", encode.__file__, str(source), str(target)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        whole = False
        try:
            async with asyncio.timeout(ENCODE_TIMEOUT):
                whole = await process.wait() == 0
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            if not whole:
                _remove(target)
        if not whole:
            raise _Never("it could not be encoded")

    async def _post(self, header: bytes, audio: Path) -> None:
        try:
            bearer = for_recordings()
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            timeout = aiohttp.ClientTimeout(SEND_TIMEOUT)
            with audio.open("rb") as file, aiohttp.MultipartWriter("form-data") as body:
                _part(body, header, "header", "header.binpb", "application/protobuf")
                _part(body, file, "audio", "recording.ogg", "audio/ogg")
                async with (
                    aiohttp.ClientSession(timeout=timeout) as http,
                    http.post(self._hub + PATH, data=body, headers=headers, allow_redirects=False) as answer,
                ):
                    status, text = answer.status, (await answer.content.read(500)).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _Later(f"{type(error).__name__}") from error
        if 200 <= status < 300:
            return
        if status in _DENIED and "data recording is disabled" in text:
            raise _Never("it keeps no recordings (HUB_RECORDINGS=off)")
        if status in _DENIED:
            raise _Never(f"it answers {status}: HUB_KEY must be able to publish for all rooms", next_start=True)
        if status in _TRANSIENT or status >= 500:
            raise _Later(f"it answers {status}")
        raise _Never(f"it answers {status}")

    async def _drop(self, stem: str, reason: str) -> None:
        logger.warning("The recording %s is not on the hub, only in GATEWAY_UPLOADS: %s", stem, reason)
        await self._settle(stem)

    async def _settle(self, stem: str) -> None:
        await self._in_thread(_remove, self._note(stem))

    def _note(self, stem: str) -> Path:
        return self._folder / (stem + UNSENT)

    def _encoded(self, stem: str) -> Path:
        return self._folder / (stem + ENCODED)


def _left(folder: Path) -> list[str]:
    """The recordings that an earlier gateway has not sent, newest first. What it was encoding is removed."""
    try:
        with os.scandir(folder) as entries:
            files = [(entry.stat().st_mtime, entry.name) for entry in entries if entry.is_file()]
    except OSError:
        return []
    for _, name in files:
        if name.endswith(ENCODED):
            _remove(folder / name)
    return [name.removesuffix(UNSENT) for _, name in sorted(files, reverse=True) if is_note(name)]


def _times(note: Path, source: Path) -> tuple[float, float]:
    """When a recording began, in epoch seconds, and how long it is."""
    started = json.loads(note.read_text()).get("started")
    if not isinstance(started, int | float):
        started = float(source.stem.rpartition("_")[2])
    return float(started), duration_of(source)


def _header(session: str, room: str, started: float, duration: float) -> bytes:
    """The part that says whose recording it is, as LiveKit's agent writes it."""
    from livekit.protocol import metrics

    summary = {
        "job_id": session,
        "room": room,
        "audio_recording_started_at": started,
        "timestamp": started + duration,
    }
    header = metrics.MetricsRecordingHeader(
        job_id=session, duration=int(duration * 1000), session_summary=json.dumps(summary)
    )
    header.start_time.FromMilliseconds(int(started * 1000))
    return header.SerializeToString()


def _part(body: aiohttp.MultipartWriter, content: object, name: str, filename: str, kind: str) -> None:
    part = body.append(content, {"Content-Type": kind})
    part.set_content_disposition("form-data", name=name, filename=filename)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
