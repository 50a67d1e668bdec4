"""Measures the cost of `attach` to the voice loop, with the hub up, down and stalled: `python -m bench.attach`.

A real AgentSession emits events and writes text on the loop's thread, as LiveKit does. Each is followed by 2 ms of
computation, as in a voice loop. The same rounds measure a session without `attach`, which is LiveKit's own share, and
`json.dumps` for such an event, because the ratio does not depend on how busy the machine is. In the state "listening",
`attach` also looks for new outputs and participants.

The second figure is the loop's timing: how late frames due every 10 ms are while 100 events a second occur, alternately with
and without `attach`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livekit.agents import Agent, AgentSession
from livekit.agents.voice.events import AgentStateChangedEvent, UserInputTranscribedEvent

from bench.busy import work
from event_hub.client import Publisher
from event_hub.livekit import attach
from tests.hubs import HubProcess, free_port

COUNT = 1_000
WORDS = "and then it rains all day long "
EVENT = {
    "type": "agent_text_delta",
    "role": "agent",
    "delta": WORDS,
    "offset": 120,
    "utterance": "4f1c2a.7",
    "source": "transcription",
    "session": "AS_3abdecde3be9",
    "room": "support-7",
    "participant": "agent-AJ_x",
    "timestamp": 1795255761.589345,
    "event_id": "0" * 32,
}
FRAMES, FRAME = 300, 0.01


def _acts(session: AgentSession[Any]) -> dict[str, Callable[[], object]]:
    interim = UserInputTranscribedEvent(transcript="What is the weather", is_final=False)
    state = AgentStateChangedEvent(old_state="listening", new_state="thinking")
    rest = AgentStateChangedEvent(old_state="speaking", new_state="listening")

    def text() -> None:
        output = session.output.transcription
        if output is not None:
            try:
                output.capture_text(WORDS).send(None)
            except StopIteration:
                pass

    return {
        "text delta": text,
        "interim": lambda: session.emit("user_input_transcribed", interim),
        "state": lambda: session.emit("agent_state_changed", state),
        "listening": lambda: session.emit("agent_state_changed", rest),
    }


async def _session() -> AgentSession[Any]:
    session: AgentSession[Any] = AgentSession(vad=None, turn_handling={"turn_detection": None})
    await session.start(Agent(instructions="Say nothing."))
    return session


def _microseconds(act: Callable[[], object]) -> float:
    began = time.perf_counter_ns()
    act()
    return (time.perf_counter_ns() - began) / 1000


def _at(sorted_values: list[float], share: float) -> float:
    return sorted_values[int(len(sorted_values) * share)]


def _measure_events(what: str, session: AgentSession[Any], bare: AgentSession[Any]) -> None:
    without = _acts(bare)
    for name, act in _acts(session).items():
        times: list[float] = []
        own: list[float] = []
        dumps: list[float] = []
        for _ in range(COUNT):
            for values, call in ((dumps, lambda: json.dumps(EVENT)), (times, act), (own, without[name])):
                values.append(_microseconds(call))
                work()
        times.sort()
        dumps.sort()
        median, livekit, reference = (statistics.median(values) for values in (times, own, dumps))
        added = median - livekit
        print(
            f"{what:12}  {name:10}  median {median:5.1f} µs, added {added:5.1f} µs = {added / reference:4.2f} × json.dumps"
            f" ({reference:4.1f} µs),  p99 {_at(times, 0.99):6.1f} µs (json.dumps {_at(dumps, 0.99):6.1f}),"
            f"  p99.9 {_at(times, 0.999):7.1f} µs",
            flush=True,
        )


async def _frames(act: Callable[[], object]) -> list[float]:
    """How late each of `FRAMES` frames is, in milliseconds; each is accompanied by an event."""
    late = []
    due = time.perf_counter()
    for _ in range(FRAMES):
        due += FRAME
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        late.append((time.perf_counter() - due) * 1000)
        act()
    return late


async def _measure(what: str, url: str) -> None:
    bare, attached = await _session(), await _session()
    publisher = Publisher(url)
    attach(attached, publisher=publisher)
    await asyncio.to_thread(time.sleep, 0.5)
    _measure_events(what, attached, bare)
    late: dict[str, list[float]] = {"with attach": [], "without": []}
    for _ in range(4):
        late["without"] += await _frames(_acts(bare)["text delta"])
        late["with attach"] += await _frames(_acts(attached)["text delta"])
    for name, values in late.items():
        values.sort()
        print(
            f"{what:12}  frames late {name:12}  median {_at(values, 0.5):5.2f} ms, p99 {_at(values, 0.99):5.2f} ms,"
            f" worst {values[-1]:5.2f} ms",
            flush=True,
        )
    await bare.aclose()
    await attached.aclose()
    await asyncio.to_thread(publisher.close, 5)


async def main() -> None:
    logging.disable()
    with tempfile.TemporaryDirectory() as folder, HubProcess(Path(folder)) as hub:
        await _measure("hub up", hub.url)
    await _measure("hub down", f"http://127.0.0.1:{free_port()}")
    with socket.create_server(("127.0.0.1", 0)) as stalled:
        await _measure("hub stalled", f"http://127.0.0.1:{stalled.getsockname()[1]}")


if __name__ == "__main__":
    asyncio.run(main())
