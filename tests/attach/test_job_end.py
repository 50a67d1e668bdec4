"""At the end of a job its events are delivered, or its log says how many were given up (H16)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from livekit.agents import Agent, JobContext, JobExecutorType
from livekit.agents.testing import fake_job_context

from agent.scripted.llm import Reply
from event_hub.client import Publisher
from event_hub.livekit import attach, process

from ..hubs import ROOT, HubProcess, free_port
from .plays.stage import text_session
from .sessions import run

WORKER = """
import asyncio, logging, math
from livekit.agents import Agent, AgentServer
from agent.scripted.llm import Reply
from event_hub.livekit import attach
from tests.attach.plays.stage import text_session

server = AgentServer(num_idle_processes=1, host="127.0.0.1", port=0, load_threshold=math.inf,
                     ws_url="ws://127.0.0.1:1", api_key="key", api_secret="secret" * 6)

def answer(context):
    return Reply("Yes.")

@server.rtc_session()
async def entry(context):
    session = text_session(answer)
    attach(session)
    await session.start(Agent(instructions="x"))
    await session.run(user_input="Hi.")
    context.shutdown("done")

async def main():
    logging.basicConfig(level=logging.INFO, format="%(process)d %(name)s: %(message)s")
    started = asyncio.Event()
    server.on("worker_started", started.set)
    running = asyncio.create_task(server.run(unregistered=True))
    await started.wait()
    await server.simulate_job("room", fake_job=True)
    while server.active_jobs:
        await asyncio.sleep(0.1)
    await server.aclose()
    await running

if __name__ == "__main__":
    asyncio.run(main())
"""


async def job(ends: Callable[[JobContext], object] = lambda _: None, publisher: Publisher | None = None) -> None:
    """A job with two sessions, from start to end."""
    with fake_job_context() as context:
        context.proc._executor_type = JobExecutorType.PROCESS
        for _ in range(2):
            session = text_session(lambda _: Reply("Yes."))
            attach(session, publisher=publisher)
            await session.start(Agent(instructions="x"))
            await session.run(user_input="Hi.")
            await session.aclose()
        ends(context)
        await asyncio.gather(*(callback("shutdown") for callback in context._shutdown_callbacks))
        await context._on_cleanup()


@pytest.fixture
def hub_url(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def use(url: str) -> None:
        monkeypatch.setenv("HUB_URL", url)
        monkeypatch.setattr(process, "_publisher", None)

    return use


def test_the_hub_was_unreachable_all_the_time(hub_url: Callable[[str], None], caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    hub_url(url)
    began = time.monotonic()
    run(job)
    assert time.monotonic() - began < 9, "LiveKit kills a job's process ten seconds after it was asked to end"
    stats = process.publisher().stats
    assert stats.dropped > 10 and stats.queued == 0
    lines = [r.getMessage() for r in caplog.records if r.name == "event_hub.livekit" and "given up" in r.getMessage()]
    assert len(lines) == 1, "once, however many sessions the job had"
    assert lines[0].startswith(f"{stats.dropped} events did not reach the hub at {url} and were given up")


def test_the_worker_gets_the_line_from_the_jobs_process(tmp_path: Path) -> None:
    """A real job in a process of its own: its last log lines reach the worker's log before the process ends."""
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    url = f"http://127.0.0.1:{free_port()}"
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=ROOT,
        env={**os.environ, "HUB_URL": url, "PYTHONPATH": f"{ROOT}", "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE": "0"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    lines = [line for line in done.stderr.splitlines() if "event_hub.livekit: " in line]
    assert len(lines) == 1, done.stderr
    assert f" events did not reach the hub at {url} and were given up." in lines[0]


def test_the_hub_is_reachable(
    hub: HubProcess, hub_url: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    hub_url(hub.url)
    queued: list[int] = []
    run(lambda: job(lambda _: queued.append(process.publisher().stats.queued)))
    stats = process.publisher().stats
    assert (stats.queued, stats.dropped) == (0, 0) and stats.sent > 10
    assert "given up" not in caplog.text
    process.publisher().close()


def test_the_agents_own_publisher_is_not_closed(caplog: pytest.LogCaptureFixture) -> None:
    with Publisher(f"http://127.0.0.1:{free_port()}") as publisher:
        run(lambda: job(publisher=publisher))
        assert publisher.stats.queued > 10
        assert f"{publisher.stats.queued} events have not reached the hub at {publisher.url} yet" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_attach_starts_the_thread_in_a_forked_job(hub: HubProcess, tmp_path: Path) -> None:
    """A fork has no threads; `attach` starts the publisher's before the first event."""
    publisher = Publisher(hub.url)
    noted = tmp_path / "child"
    child = os.fork()
    if child == 0:
        try:
            before = threading.active_count()

            async def body() -> None:
                attach(text_session(lambda _: Reply("Yes.")), publisher=publisher)

            asyncio.run(body())
            noted.write_text(f"{before} {threading.active_count()}")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    publisher.close()
    assert noted.read_text() == "1 2"
