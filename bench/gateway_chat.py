"""Measures the gateway's chat with 200 connections at once: `python -m bench.gateway_chat` (about a minute).

It reports the memory of the gateway for each connection, and the time from a question to the first piece of the answer. For
comparison, the same scripted LLM is asked by a bare loop in a process of its own, in the same rounds: LiveKit's
`llm.chat(...)` and nothing else. What the LLM itself takes (0.35 s until its first word) is part of both.

Questions come in two ways: `at once`, 200 in the same moment, and `spread`, 200 evenly over ten seconds, each from another
connection. Client and server share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.gateway.gateways import GatewayProcess

CONNECTIONS = 200
SPREAD = 10.0
"""Seconds over which the questions are spread."""
LIMIT = 120.0
"""Seconds after which a round is given up."""
QUESTION = "hello"
TURNS = 3
"""Questions on each connection before its memory is measured again."""

Ask = Callable[[int], Awaitable[float]]
"""Asks one question on connection n; returns the seconds until the first piece of the answer."""


async def together(ask: Ask, number: int, over: float) -> list[float]:
    """Ask `number` questions, evenly over `over` seconds."""

    async def after(n: int) -> float:
        await asyncio.sleep(over * n / number)
        return await ask(n)

    async with asyncio.timeout(LIMIT):
        return list(await asyncio.gather(*(after(n) for n in range(number))))


def percentiles(times: list[float]) -> tuple[float, float]:
    """p50 and p99, in milliseconds."""
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return cuts[49] * 1000, cuts[98] * 1000


# -- the bare loop, in a process of its own ----------------------------------------------------------------------------


def bare(number: int, over: float, results: Any) -> None:
    """Ask the scripted LLM directly."""
    from livekit.agents import llm

    from agent.local import local_llm

    model = local_llm()

    async def ask(_n: int) -> float:
        context = llm.ChatContext.empty()
        context.add_message(role="user", content=QUESTION)
        began = time.perf_counter()
        first = 0.0
        async with model.chat(chat_ctx=context, tools=[]) as stream:
            async for _ in stream:
                first = first or time.perf_counter() - began
        return first

    async def run() -> tuple[list[float], float]:
        await ask(0)  # what is loaded once
        before = time.process_time()
        times = await together(ask, number, over)
        return times, (time.process_time() - before) / number

    results.put(asyncio.run(run()))


def bare_loop(number: int, over: float) -> tuple[list[float], float]:
    """The times, and the CPU time for each request."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=bare, args=(number, over, results))
    process.start()
    try:
        found: tuple[list[float], float] = results.get(timeout=2 * LIMIT)
        return found
    finally:
        process.join(10)
        process.kill()


# -- the gateway -------------------------------------------------------------------------------------------------------


class Chats:
    """Open connections to the gateway's chat."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []

    async def open(self, number: int) -> None:
        async def one() -> aiohttp.ClientWebSocketResponse:
            socket = await self._session.ws_connect(self._url)
            assert json.loads((await socket.receive()).data)["type"] == "ready"
            return socket

        self._sockets += await asyncio.gather(*(one() for _ in range(number)))

    async def ask(self, n: int) -> float:
        socket = self._sockets[n]
        began = time.perf_counter()
        first = 0.0
        await socket.send_str(json.dumps({"message": QUESTION}))
        while True:
            kind = json.loads((await socket.receive()).data)["type"]
            if kind == "delta":
                first = first or time.perf_counter() - began
            elif kind == "result":
                return first
            elif kind != "complete":
                raise RuntimeError(f"the gateway sent {kind}")

    async def close(self) -> None:
        await asyncio.gather(*(socket.close() for socket in self._sockets))


async def gateway(process: GatewayProcess, number: int, rounds: int) -> dict[str, list[float]]:
    """Times by way of asking, memory in bytes, CPU time for each question."""
    server = psutil.Process(process.process.pid)
    found: dict[str, list[float]] = {"at once": [], "spread": [], "memory": [], "cpu": []}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        first = Chats(session, process.ws("/chat"))
        await first.open(1)
        await first.ask(0)  # what is loaded once
        before = server.memory_full_info().uss
        chats = Chats(session, process.ws("/chat"))
        async with asyncio.timeout(LIMIT):
            await chats.open(number)
        found["memory"].append((server.memory_full_info().uss - before) / number)
        cpu = sum(server.cpu_times()[:2])
        for turn in range(max(rounds, TURNS)):
            if turn < rounds:
                found["spread"] += await together(chats.ask, number, SPREAD)
            found["at once"] += await together(chats.ask, number, 0.0)
        asked = len(found["spread"]) + len(found["at once"])
        found["cpu"].append((sum(server.cpu_times()[:2]) - cpu) / asked)
        found["memory"].append((server.memory_full_info().uss - before) / number)
        await chats.close()
        await first.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help=f"default {CONNECTIONS}")
    parser.add_argument("--rounds", type=int, default=1, help="number of rounds (default 1)")
    options = parser.parse_args()
    number = options.connections
    with (
        tempfile.TemporaryDirectory() as folder,
        GatewayProcess(Path(folder), GATEWAY_CONNECTIONS=str(number + 10)) as process,
    ):
        process.ready()
        found = asyncio.run(gateway(process, number, options.rounds))
    idle, used = (value / 1024 for value in found["memory"])
    print(
        f"memory of the gateway for each of {number} connections: {idle:.0f} KiB idle, {used:.0f} KiB after questions"
    )
    rows, cpu = [], 0.0
    for way, over in (("at once", 0.0), ("spread", SPREAD)):
        alone, cpu = bare_loop(number, over)
        rows += [(f"{way}, gateway", *percentiles(found[way])), (f"{way}, bare loop", *percentiles(alone))]
    print(f"CPU time for each answer: gateway {found['cpu'][0] * 1000:.1f} ms, bare loop {cpu * 1000:.1f} ms")
    print(f"{'time to first token':<24}{'p50':>9}{'p99':>9}")
    for name, p50, p99 in rows:
        print(f"{name:<24}{p50:>6.0f} ms{p99:>6.0f} ms")
    print(f"load of the machine (1 min): {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
