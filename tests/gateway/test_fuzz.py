"""20,000 hostile frames at every endpoint: neighbours notice nothing, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import random
import struct
from collections import Counter
from typing import Any

import aiohttp
import psutil
import pytest

from agent.gateway.endpoints import ENDPOINTS
from agent.gateway.errors import ERRORS

from ..conftest import outliving
from ..hubs import PATIENCE, until
from .gateways import GatewayProcess

FRAMES = 20_000
CONNECTIONS = 40
"""At once; each is cut or closed after some frames, and another one opened."""
DONE = "the last frame"
PATHS = [endpoint.path for endpoint in ENDPOINTS]
_WORDS = [
    "message",
    "type",
    "text",
    "session_id",
    "messages",
    "role",
    "content",
    "request_id",
    "voice_id",
    "chat_history",
]
_TYPES = ["chat", "cancel", "sync", "ping", "end", "START_RECORDING", "STOP_RECORDING", "delta", "", "\0", "💥" * 50]
_SCALARS = [
    None,
    True,
    0,
    -1,
    1e308,
    2**70,
    "",
    "x",
    "ü" * 300,
    "\ud83d",
    "<img src=x onerror=alert(1)>",
    "none",
    "user",
]


def hostile(rng: random.Random) -> str | bytes:
    """One frame: random bytes, random JSON, a valid frame of some protocol, or nearly one."""
    kind = rng.random()
    if kind < 0.15:
        return rng.randbytes(rng.choice((0, 1, 2, 319, 640, 3200)))
    if kind < 0.2:
        return struct.pack("<4sI4s", b"RIFF", 36, b"WAVE") + rng.randbytes(64)
    if kind < 0.3:
        return rng.choice(
            ("", "{", "[]", "null", "NaN", "[" * 5000, '"text"', "START_RECORDING", "STOP_RECORDING", "\x00")
        )
    frame: dict[str, Any] = {rng.choice(_WORDS): _value(rng, 3) for _ in range(rng.randrange(5))}
    if rng.random() < 0.6:
        frame["type"] = rng.choice(_TYPES) if rng.random() < 0.9 else _value(rng, 2)
    text = json.dumps(frame)
    return text if rng.random() < 0.9 else text[: rng.randrange(len(text) + 1)]


def _value(rng: random.Random, depth: int) -> Any:
    if depth == 0 or rng.random() < 0.6:
        return rng.choice(_SCALARS)
    if rng.random() < 0.5:
        return [_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(_WORDS): _value(rng, depth - 1) for _ in range(rng.randrange(4))}


class _Attack:
    """Sends frames until all are sent; counts the error codes that come back."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.rng = random.Random(seed)
        self.left = FRAMES
        self.codes: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()

    async def run(self, session: aiohttp.ClientSession) -> None:
        await asyncio.gather(*(self._connections(session, number) for number in range(CONNECTIONS)))

    async def _connections(self, session: aiohttp.ClientSession, number: int) -> None:
        rng = random.Random(self.rng.random() + number)
        while self.left > 0:
            path = PATHS[(number + rng.randrange(2)) % len(PATHS)]
            async with session.ws_connect(self.url + path, max_msg_size=0, autoping=True) as socket:
                reading = asyncio.create_task(self._read(socket))
                try:
                    for _ in range(rng.choice((1, 20, 100))):
                        if self.left <= 0 or socket.closed:
                            break
                        self.left -= 1
                        self.sent[path] += 1
                        frame = hostile(rng)
                        await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
                    if rng.random() < 0.3 and socket._response.connection is not None:
                        transport = socket._response.connection.transport
                        if transport is not None:
                            transport.abort()  # no close frame
                    else:
                        await socket.send_str(json.dumps({"type": "ping", "id": DONE}))
                        await asyncio.wait([reading], timeout=PATIENCE)
                except ConnectionError:
                    pass
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Until the answer to the last ping, or the end."""
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            if DONE in message.data:
                return
            if message.data.startswith('{"type":"error"'):
                self.codes[json.loads(message.data)["code"]] += 1


async def _neighbour(session: aiohttp.ClientSession, url: str, done: asyncio.Event) -> int:
    """A client in the midst of it: each echo comes back, in order."""
    count = 0
    async with session.ws_connect(f"{url}/ws") as socket:
        while not done.is_set():
            await socket.send_str(str(count))
            assert (await socket.receive(timeout=PATIENCE)).data == str(count)
            count += 1
            await asyncio.sleep(0.05)
    return count


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_20000_hostile_frames(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every answer is a documented error; no connection, file or process is left, and the chat works afterwards."""
    seed = int(os.environ.get("FUZZ_SEED", "20261126"))
    with (
        outliving(),
        GatewayProcess(tmp_path_factory.mktemp("fuzz"), GATEWAY_RATE="100000", GATEWAY_UPLOADS_SIZE="50MB") as gateway,
    ):
        gateway.ready()
        process = psutil.Process(gateway.process.pid)
        attack = _Attack(gateway.url, seed)

        async def run() -> int:
            # The first connections load what is loaded once: the VAD, a decoder, LiveKit's HTTP session.
            async with aiohttp.ClientSession() as session:
                for path in PATHS:
                    async with session.ws_connect(gateway.url + path) as socket:
                        await socket.send_str("{}")
                done = asyncio.Event()
                neighbour = asyncio.create_task(_neighbour(session, gateway.url, done))
                await attack.run(session)
                done.set()
                return await neighbour

        echoes = asyncio.run(run())
        assert sum(attack.sent.values()) == FRAMES, f"seed {seed}"
        assert min(attack.sent[path] for path in PATHS) > 500
        assert echoes > 10
        assert set(attack.codes) <= set(ERRORS)
        assert attack.codes["internal"] == 0, gateway.output()
        assert attack.codes["bad_json"] > 100
        until(lambda: gateway.connections() == 0, "the last connection to end", 2 * PATIENCE)
        until(lambda: len(process.net_connections()) <= 3, "the sockets to be closed")
        assert not [file.path for file in process.open_files() if "uploads" in file.path]
        assert "Traceback" not in gateway.output(), gateway.output()
        assert gateway.stop() == 0
        leftovers = [
            file.name for file in (gateway.folder / "uploads").glob("*") if not file.name.startswith("streamed_")
        ]
        assert leftovers == []
