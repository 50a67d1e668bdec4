"""The folder of recordings: its limits, saving, and what a killed gateway left in it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from . import convert, formats
from .audio_file import LONGEST_WAV, LeftOver, RecordingFile, duration_of, remove_converted
from .convert import Outcome
from .hub_copies import HubCopies

if TYPE_CHECKING:
    from ..server import Gateway

logger = logging.getLogger("agent.gateway")
T = TypeVar("T")

THREADS = 4
"""For the disk: if it hangs, only recordings hang."""
CONVERSIONS = 2
"""Recordings that are decoded at the same time; others wait."""
CONVERSION_TIMEOUT = 120.0
"""Seconds. Decoding takes about 5 s for an hour of audio."""


class UploadsFull(Exception):
    """The recordings in the folder have reached GATEWAY_UPLOADS_SIZE."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A finished recording. `message`: why it is not a WAV file, or what it lacks."""

    session: str
    path: Path
    size: int
    duration: float | None
    message: str | None = None

    @property
    def kind(self) -> str:
        """What the file contains, as its name says."""
        return self.path.suffix[1:]

    @property
    def url(self) -> str:
        """Where the gateway serves it."""
        return f"/uploads/{self.path.name}"


class Uploads:
    """The folder. All blocking work runs in threads of its own."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="recordings")
        self._converting = asyncio.Semaphore(CONVERSIONS)
        self._open: set[RecordingFile] = set()
        self._stored = 0
        """Bytes of finished recordings, when a recording was last begun, and those saved since."""
        self.recovery: asyncio.Task[object] | None = None

    async def begin(self, *, declared: str | None, rate: int) -> tuple[str, RecordingFile]:
        """A new recording: its session's id and its file. Raises UploadsFull, OSError."""
        self._stored = await self.in_thread(_stored, self.folder)
        if self.room() <= 0:
            raise UploadsFull
        session, stem = formats.new_name(time.time())
        file = await self.in_thread(lambda: RecordingFile(self.folder, stem, declared=declared, rate=rate))
        self._open.add(file)
        return session, file

    def room(self) -> int:
        """Bytes that recordings may still take."""
        return self.limit - self._stored - sum(file.size for file in self._open)

    async def write(self, file: RecordingFile, data: bytes) -> None:
        """Append a frame. Raises OSError, UploadsFull; then the frame is not in the file."""
        if len(data) > self.room():
            raise UploadsFull
        await self.in_thread(file.write, data)

    async def save(self, file: RecordingFile) -> Saved | None:
        """Finish a recording; None if it is empty. Raises OSError.

        If this is cancelled, the file is left to the next start of the gateway.
        """
        try:
            if not file.size:
                await self.in_thread(file.discard)
                return None
            await self.in_thread(file.close)
            if file.is_pcm:
                saved = await self._keep(file, "wav", None)
                if file.size % 2:
                    saved = _with_message(saved, "The last byte is half a sample and was left out.")
            elif file.container is None:
                saved = await self._keep(file, "bin", "Unknown audio format. The file is kept unchanged.")
            else:
                saved = await self._convert(file, file.container)
            self._stored += saved.size
            return saved
        finally:
            self.abandon(file)

    def abandon(self, file: RecordingFile) -> None:
        """Leave a recording to the next start of the gateway."""
        file.abandon()
        self._open.discard(file)

    async def recover(self) -> list[Saved]:
        """Save what a killed gateway left unfinished. Recordings of a gateway that still runs are left alone."""
        saved = []
        for part in await self.in_thread(_unfinished, self.folder):
            try:
                file = await self.in_thread(LeftOver, part)
                remove_converted(file.stem, self.folder)
                if found := await self.save(file):
                    saved.append(found)
                logger.info("A recording of a gateway that was killed is %s", found.path.name if found else "empty")
            except BlockingIOError:
                continue
            except OSError as error:
                logger.warning("%s cannot be saved: %s", part.name, error.strerror or error)
        return saved

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Run blocking work."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def aclose(self) -> None:
        """End the threads. Recordings still open are left to the next start."""
        if self.recovery is not None:
            self.recovery.cancel()
            await asyncio.gather(self.recovery, return_exceptions=True)
        for file in list(self._open):
            file.abandon()
        self._threads.shutdown(wait=False)

    async def _keep(self, file: RecordingFile, kind: str, message: str | None) -> Saved:
        path = await self.in_thread(file.keep, kind)
        return await self._described(path, message)

    async def _convert(self, file: RecordingFile, container: formats.Container) -> Saved:
        room = min(self.room(), LONGEST_WAV)
        async with self._converting:
            outcome, damaged = await _run_conversion(container, file.part, file.converted, room)
        if outcome is Outcome.DONE:
            path = await self.in_thread(file.replace)
            return await self._described(path, "Parts of the audio could not be decoded." if damaged else None)
        remove_converted(file.stem, self.folder)
        reason = {
            Outcome.TOO_LARGE: "a WAV file would be larger than the room left in GATEWAY_UPLOADS_SIZE",
            Outcome.NO_SPACE: "the disk has no room for a WAV file",
        }.get(outcome, "it could not be decoded")
        kind = "bin" if container == "wav" else container
        return await self._keep(file, kind, f"Kept as it was received: {reason}.")

    async def _described(self, path: Path, message: str | None) -> Saved:
        def look() -> tuple[int, float | None]:
            return path.stat().st_size, duration_of(path) if path.suffix == ".wav" else None

        size, duration = await self.in_thread(look)
        return Saved(formats.session_of(path.name), path, size, duration, message)


def prepare(gateway: Gateway) -> None:
    """Begin to save what a killed gateway left, and to send it to the hub. Called when the gateway starts."""
    uploads = uploads_of(gateway)
    uploads.recovery = asyncio.create_task(_recover(uploads, hub_copies_of(gateway)), name="recover recordings")


async def _recover(uploads: Uploads, copies: HubCopies | None) -> None:
    for saved in await uploads.recover():
        if copies is not None:
            await copies.want(saved.path)


def uploads_of(gateway: Gateway) -> Uploads:
    """The gateway's folder of recordings."""
    uploads: Uploads | None = gateway.state.get("uploads")
    if uploads is None:
        uploads = gateway.state["uploads"] = Uploads(gateway.settings.uploads, gateway.settings.uploads_size)
        gateway.on_close.append(uploads.aclose)
    return uploads


def hub_copies_of(gateway: Gateway) -> HubCopies | None:
    """What sends this gateway's recordings to its hub; None if HUB_URL names none."""
    if gateway.publisher is None or not os.environ.get("HUB_URL", "").strip():
        return None
    copies: HubCopies | None = gateway.state.get("hub copies")
    if copies is None:
        uploads = uploads_of(gateway)
        copies = HubCopies(uploads.folder, uploads.in_thread, gateway.publisher.url, gateway.settings.room)
        gateway.state["hub copies"] = copies
        gateway.on_close.insert(0, copies.aclose)
    return copies


def _with_message(saved: Saved, message: str) -> Saved:
    return Saved(saved.session, saved.path, saved.size, saved.duration, message)


def _stored(folder: Path) -> int:
    """Bytes of the finished recordings in the folder."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries if formats.is_recording(entry.name))
    except FileNotFoundError:
        return 0


def _unfinished(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if formats.is_unfinished(entry.name) and entry.is_file()]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


async def _run_conversion(container: str, source: Path, target: Path, limit: int) -> tuple[Outcome, bool]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", convert.__file__, container, str(source), str(target), str(limit)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(CONVERSION_TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError:
        return Outcome.UNDECODABLE, False
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return Outcome(process.returncode or 0), b"true" in output
    except ValueError:  # FFmpeg has crashed
        return Outcome.UNDECODABLE, False
