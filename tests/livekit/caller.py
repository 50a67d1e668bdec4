"""A caller: joins a room with a token, plays real speech, and notes what it hears of the agent, and when.

`python -m tests.livekit.caller URL TOKEN FOLDER` runs the caller in its own process, so that nothing else delays its
microphone. It reads commands from standard input and prints what happens, one JSON object per line.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ..hubs import PATIENCE, ROOT, until
from .speech import RATE, Sound, read_wav, resampled, said, write_wav

AUDIBLE = 300.0
"""Root mean square above which sound is audible: faint speech has a thousand, silence a few."""
PAUSE = 1.0
"""Seconds of silence that end a stretch of speech: longer than between two sentences."""
_MICROPHONE = 48000
_NOISE = 10.0
"""A microphone's noise level in silence. Without noise, no frames would be sent at all."""


def trimmed(sound: Sound) -> Sound:
    """`sound` from its first to its last audible tenth of a second, so that its length is how long it is heard."""
    size = RATE // 10
    loud = [start for start in range(0, len(sound), size) if _level(sound[start : start + size]) > AUDIBLE]
    return sound[loud[0] : loud[-1] + size] if loud else sound[:0]


def _level(sound: Sound) -> float:
    return float(np.sqrt(np.mean(np.square(sound.astype(np.float64))))) if len(sound) else 0.0


class Caller:
    """A caller. `notes` has what it prints; each note has `what` and `time` (epoch seconds)."""

    def __init__(self, url: str, token: str, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._out, self._err = folder / "caller.out", folder / "caller.err"
        with self._out.open("wb") as out, self._err.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.livekit.caller", url, token, str(folder)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
        self._said = 0

    @property
    def notes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.read_text().split("\n")[:-1]]

    def wait(self, what: str, *, after: float = 0.0, patience: float = 2 * PATIENCE, **fields: Any) -> dict[str, Any]:
        """Wait for the first note of `what` with these fields since `after`."""

        def found() -> dict[str, Any] | None:
            fit = (n for n in self.notes if n["what"] == what and n["time"] >= after and n.items() >= fields.items())
            note = next(fit, None)
            assert note is not None or self._process.poll() is None, f"the caller has ended:\n{self.tail()}"
            return note

        note: dict[str, Any] = until(found, f"the caller's {what} {fields}\n{self.tail()}", patience)
        return note

    def say(self, text: str, voice: str = "slt", at: float = 0.0) -> int:
        """Say it at once, or at a time; does not wait. `said_started` and `said_ended` with this number tell when."""
        self._said += 1
        path = self.folder / f"said-{self._said}.wav"
        write_wav(path, trimmed(said(text, voice)), RATE)
        self._tell({"say": str(path), "number": self._said, "at": at})
        return self._said

    def ask(self, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Say it, and wait for an answer; returns when it was said, and when something was heard then."""
        said_ended = self.wait("said_ended", number=self.say(text))
        return said_ended, self.wait("heard_started", after=said_ended["time"])

    def leave(self) -> None:
        """Hang up, and wait until it is done."""
        self._tell({"leave": True})
        self.wait("left")
        self._process.wait(PATIENCE)

    def close(self) -> None:
        """End it, whatever it is doing."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait(PATIENCE)
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass

    def tail(self) -> str:
        """What happened and went wrong, for a person."""
        return "\n".join(
            (self._out.read_text(errors="replace") + self._err.read_text(errors="replace")).splitlines()[-40:]
        )

    def _tell(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def __enter__(self) -> Caller:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is not None:
            print(self.tail())


def _note(what: str, at: float | None = None, **fields: Any) -> None:
    print(json.dumps({"what": what, "time": time.time() if at is None else at, **fields}), flush=True)


class _Microphone:
    """Says what is queued, with faint noise around it, in real time."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._queue: deque[tuple[float, int, Sound]] = deque()
        self._noise = np.random.default_rng(1)

    def say(self, number: int, sound: Sound, at: float) -> None:
        self._queue.append((at, number, resampled(sound, RATE, _MICROPHONE)))

    async def run(self) -> None:
        while True:
            if not self._queue or self._queue[0][0] > time.time():
                await self._capture(np.zeros(_MICROPHONE // 100, np.int16))
                continue
            _, number, sound = self._queue.popleft()
            # What is captured now is heard when what is queued before it is.
            _note("said_started", time.time() + self._source.queued_duration, number=number)
            for start in range(0, len(sound), _MICROPHONE // 100):
                await self._capture(sound[start : start + _MICROPHONE // 100])
            _note("said_ended", time.time() + self._source.queued_duration, number=number)

    async def _capture(self, sound: Sound) -> None:
        from livekit import rtc

        noisy = sound + self._noise.normal(0, _NOISE, len(sound))
        data = np.clip(noisy, -32768, 32767).astype(np.int16).tobytes()
        await self._source.capture_frame(rtc.AudioFrame(data, _MICROPHONE, 1, len(sound)))


class _Ear:
    """Notes when sound begins and ends, and writes each stretch of it to a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before: deque[Sound] = deque(maxlen=20)
        self._heard: list[Sound] = []
        self._last = 0.0
        self._count = 0

    async def run(self, track: Any) -> None:
        from livekit import rtc

        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=20)
        async for event in stream:
            self._take(np.frombuffer(event.frame.data, np.int16).copy())

    def _take(self, sound: Sound) -> None:
        now = time.time()
        loud = _level(sound) > AUDIBLE
        if self._heard:
            self._heard.append(sound)
            if loud:
                self._last = now
            elif now - self._last > PAUSE:
                self._end()
        elif loud:
            self._heard = [*self._before, sound]
            self._last = now
            self._count += 1
            _note("heard_started", now - 0.02, number=self._count)
        self._before.append(sound)

    def _end(self) -> None:
        path = self._folder / f"heard-{self._count}.wav"
        write_wav(path, np.concatenate(self._heard), RATE)
        self._heard = []
        _note("heard_ended", self._last, number=self._count, path=str(path))


async def _call(url: str, token: str, folder: Path) -> None:
    from livekit import rtc

    room = rtc.Room()
    ear = _Ear(folder)
    tasks: set[asyncio.Task[None]] = set()

    @room.on("participant_connected")
    def _(participant: Any) -> None:
        _note("joined", identity=participant.identity, kind=participant.kind)

    @room.on("participant_disconnected")
    def _(participant: Any) -> None:
        _note("gone", identity=participant.identity)

    @room.on("track_subscribed")
    def _(track: Any, _publication: Any, participant: Any) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            _note("subscribed", identity=participant.identity)
            tasks.add(asyncio.create_task(ear.run(track)))

    async def read(reader: Any, identity: str) -> None:
        text = "".join([part async for part in reader])
        attributes = reader.info.attributes or {}
        final = attributes.get("lk.transcription_final") == "true"
        about = attributes.get("lk.transcribed_track_id")
        _note("transcription", text=text, identity=identity, final=final, track=about)

    room.register_text_stream_handler("lk.transcription", lambda r, i: tasks.add(asyncio.create_task(read(r, i))))
    await room.connect(url, token)
    _note("connected", room=room.name, identity=room.local_participant.identity)
    for participant in room.remote_participants.values():
        _note("joined", identity=participant.identity, kind=participant.kind)

    source = rtc.AudioSource(_MICROPHONE, 1, queue_size_ms=100)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
    await room.local_participant.publish_track(track, options)
    microphone = _Microphone(source)
    tasks.add(asyncio.create_task(microphone.run()))

    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        command = json.loads(line)
        if "leave" in command:
            break
        microphone.say(command["number"], read_wav(Path(command["say"])), command["at"])
    await room.disconnect()
    _note("left")
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(_call(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
