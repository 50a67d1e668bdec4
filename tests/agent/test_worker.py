"""The worker without a LiveKit server (tests/livekit has one)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from livekit.agents import AgentServer

from agent.settings import LiveKit
from agent.worker import PREPARATION, REGISTRATION, load, make_server


def made() -> AgentServer:
    async def server() -> AgentServer:
        return make_server(LiveKit("ws://127.0.0.1:7880", "devkey", "s" * 32))

    return asyncio.run(server())


@pytest.mark.parametrize(("calls", "least", "most"), [(0, 0, 0), (1, 0.005, 0.1), (1000, 0.3, 0.69)])
def test_a_worker_on_a_busy_machine_still_gets_calls(calls: int, least: float, most: float) -> None:
    """LiveKit's server sends no calls to a worker that reports a load of 0.7; by default that is the machine's CPU load."""
    assert least <= load(SimpleNamespace(active_jobs=[None] * calls)) <= most  # type: ignore[arg-type]

    assert made().load_fnc is load


def test_a_slow_start_of_the_worker_is_tolerated() -> None:
    """LiveKit registers the worker two seconds after its first job process is ready."""
    assert made()._initialize_process_timeout == PREPARATION
    assert PREPARATION + 2 < REGISTRATION
