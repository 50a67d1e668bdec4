"""A worker that knows nothing but LiveKit's keys publishes to a hub that requires credentials, with the token that a real
LiveKit server gave its job."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import jwt
import pytest
from livekit import api

from event_hub.client import Hub, subscribe

from ..hubs import PATIENCE, ROOT, HubProcess, members, until
from .server import KEY, SECRET, LiveKitServer

OPS = "a-secret-of-the-operator"
WORKER = """
import asyncio, logging, math, pathlib, signal, sys
from livekit.agents import Agent, AgentServer
from agent.scripted.llm import Reply
from event_hub.livekit import attach
from tests.attach.plays.stage import text_session

server = AgentServer(num_idle_processes=1, host="127.0.0.1", port=0, load_threshold=math.inf, load_fnc=lambda: 0.0)

@server.rtc_session()
async def entry(context):
    pathlib.Path(sys.argv[1], context.job.room.name).write_text(context._info.token)
    session = text_session(lambda _: Reply("Yes."))
    attach(session)
    await session.start(Agent(instructions="x"))
    await session.run(user_input="Hi.")
    await session.aclose()
    context.shutdown("done")

async def main():
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    running = asyncio.create_task(server.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(server.aclose()))
    await asyncio.gather(running, return_exceptions=True)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def _dispatch(url: str, room: str) -> None:
    async with api.LiveKitAPI(url.replace("ws:", "http:"), KEY, SECRET) as livekit:
        await livekit.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(room=room))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_worker_with_livekits_keys_needs_no_new_setting(tmp_path: Path) -> None:
    program, tokens, log = tmp_path / "worker.py", tmp_path / "tokens", tmp_path / "worker.log"
    program.write_text(WORKER)
    tokens.mkdir()
    with (
        LiveKitServer(tmp_path, any_load=True) as livekit,
        HubProcess(tmp_path, HUB_CONTROL_KEYS=f"ops:{OPS}", **livekit.environ) as hub,
        log.open("wb") as output,
    ):
        own = {k: v for k, v in os.environ.items() if not k.startswith(("HUB_", "LIVEKIT_", "OPENAI_"))}
        # HUB_AGENT_ID, so that it reports when its worker is registered: an event without a room, before any job.
        settings = {**livekit.environ, "HUB_URL": hub.url, "HUB_AGENT_ID": "ag_elsewhere", "PYTHONPATH": str(ROOT)}
        worker = subprocess.Popen(
            [sys.executable, str(program), str(tokens)],
            env={**own, **settings, "LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE": "0"},
            stdout=output,
            stderr=output,
            cwd=ROOT,
            start_new_session=True,  # its job processes are in this group, and remain there if the worker dies
        )
        try:
            with Hub(hub.url, key=OPS) as operator:
                until(lambda: list(operator.events(type="agent_ready")), f"the worker; {log}", 3 * PATIENCE)
                for room in ("support-1", "support *"):
                    asyncio.run(_dispatch(livekit.url, room))
                    until(
                        lambda room=room: list(operator.events(room=room, type="session_ended")),  # type: ignore[misc]
                        f"the session in {room}; {log.read_text()}",
                        3 * PATIENCE,
                    )
                ready, *_ = operator.events(type="agent_ready")
                assert "room" not in ready.event
                assert {received.event["room"] for received in operator.events(type="session_started")} == {
                    "support-1",
                    "support *",
                }
            token = (tokens / "support-1").read_text()
            claims = jwt.decode(token, SECRET, algorithms=["HS256"])
            assert claims["kind"] == "agent" and claims["video"]["room"] == "support-1"
            assert claims["exp"] - time.time() > 60
            with Hub(hub.url, key=token) as stolen, pytest.raises(Exception, match="may not publish"):
                stolen.post({"type": "test", "room": "support *"})
            with subscribe(hub.url, key=token, since="all", room="*", type="session_*") as seen:
                assert next(seen).event["room"] == "support-1"
            worker.terminate()
            worker.wait(PATIENCE)
            until(lambda: not members(worker.pid), "the processes of its jobs to end")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(PATIENCE)
        text = log.read_text() + hub.output()
        assert token not in text and SECRET not in text
        assert "Events are queued" not in text, text
