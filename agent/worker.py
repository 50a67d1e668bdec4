"""A LiveKit worker: registers, and talks in each room that LiveKit assigns to it."""

from __future__ import annotations

import asyncio
import logging
import math
import os

from livekit.agents import AgentServer, JobContext, JobProcess
from livekit.agents.voice.events import CloseEvent

from event_hub.livekit import attach

from .assistant import Assistant
from .failure import UNREACHABLE, Failure
from .pipeline import make_pipeline, make_vad, read_providers
from .session import make_session
from .settings import LiveKit, number, shown

logger = logging.getLogger("agent")

PREPARATION = 45.0
"""Seconds for a job process to load its models: normally about 5, far more on a busy machine. LiveKit's default of 10
would kill such a process and start over."""
REGISTRATION = PREPARATION + 15.0
"""Seconds for the registration with LiveKit, which a worker requests once its first job process is ready."""


async def work(livekit: LiveKit, stop: asyncio.Event) -> None:
    """Work until `stop` is set. Raises Failure if LiveKit does not register the worker, or is gone for good."""
    server = make_server(livekit)
    registered = asyncio.Event()

    server.on("worker_registered", lambda *_: registered.set())  # event_hub.livekit reports it to the hub
    running = asyncio.create_task(server.run(), name="worker")
    stopping = asyncio.create_task(stop.wait())
    try:
        waiting = asyncio.create_task(registered.wait())
        await asyncio.wait([running, stopping, waiting], timeout=REGISTRATION, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not registered.is_set() and not stop.is_set():
            cause = running.exception() if running.done() and not running.cancelled() else None
            raise Failure(
                f"LiveKit at {shown(livekit.url)} does not register the worker: see its log, or correct LIVEKIT_URL.",
                "livekit",
                UNREACHABLE,
            ) from cause
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            raise Failure(
                f"The connection to LiveKit at {shown(livekit.url)} was lost for good: start livekit-server.",
                "livekit",
                UNREACHABLE,
            ) from running.exception()
    finally:
        stopping.cancel()
        await _close(server, running)


async def _close(server: AgentServer, running: asyncio.Task[None]) -> None:
    if not running.done():
        try:
            await server.drain(timeout=math.ceil(number("AGENT_DRAIN")) or 1)
        except TimeoutError:
            logger.info("calls are still in progress: ending them now")
        except Exception as error:  # not registered, so there is nothing to drain
            logger.debug("drain: %s", error)
        await server.aclose()
    await asyncio.gather(running, return_exceptions=True)


def make_server(livekit: LiveKit) -> AgentServer:
    """The server of the worker, not running yet."""
    server = AgentServer(
        ws_url=livekit.url,
        api_key=livekit.key,
        api_secret=livekit.secret,
        host="127.0.0.1",  # its health page is for this machine only
        port=0,
        # By CPU load, LiveKit's default, a worker on few cores would be full from its own start; and LiveKit's server
        # sends no call to a worker that reports more than 0.7, whatever the threshold here.
        load_fnc=load,
        load_threshold=math.inf,
        num_idle_processes=round(number("AGENT_IDLE_PROCESSES")),
        setup_fnc=prepare,
        initialize_process_timeout=PREPARATION,
    )
    # The name by which a call requests this agent; without one LiveKit sends it to every room.
    server.rtc_session(answer_call, agent_name=os.environ.get("AGENT_NAME", ""))
    return server


def load(server: AgentServer) -> float:
    """Load by number of calls, so that LiveKit balances several workers; never so high that it sends no more."""
    return min(0.5, len(server.active_jobs) / 100)


def prepare(process: JobProcess) -> None:
    """Runs in each job process before its call: load models that take time to load."""
    providers = read_providers(os.environ)
    needs_vad = providers.realtime is None and providers.vad is not None
    process.userdata["vad"] = vad = make_vad(providers) if needs_vad else None
    local = (providers.stt, providers.tts)
    if any(choice is not None and choice.plugin == "local" for choice in local):
        make_pipeline(providers, vad=vad).prewarm()


async def answer_call(ctx: JobContext) -> None:
    """Handle one call, in its own process."""
    session = make_session(make_pipeline(read_providers(os.environ), vad=ctx.proc.userdata.get("vad")))
    attach(session)
    session.on("close", lambda event: _end_job(ctx, event))
    await session.start(Assistant(os.environ.get("HUB_AGENT_INSTRUCTIONS")), room=ctx.room)


def _end_job(ctx: JobContext, event: CloseEvent) -> None:
    """End the job process; LiveKit shows the reason."""
    ctx.shutdown(reason=event.reason.value)
