"""The worker, as far as it can be seen without a LiveKit server (tests/livekit has one)."""

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
def test_a_worker_is_never_too_full_however_busy_the_machine_is(calls: int, least: float, most: float) -> None:
    """LiveKit's server sends no call to a worker that reports 0.7, and by default that is the CPU of the machine."""
    assert least <= load(SimpleNamespace(active_jobs=[None] * calls)) <= most  # type: ignore[arg-type]

    assert made().load_fnc is load


def test_a_worker_that_loads_slowly_is_waited_for() -> None:
    """LiveKit waits for the first job process, and two seconds more, before it registers the worker."""
    assert made()._initialize_process_timeout == PREPARATION
    assert PREPARATION + 2 < REGISTRATION
