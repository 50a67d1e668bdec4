"""A LiveKit worker: registers, and talks in each room that LiveKit gives it."""

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
from .parts import Parts, chosen, make_parts, make_vad
from .session import make_session
from .settings import LiveKit, number, shown

logger = logging.getLogger("agent")

PREPARATION = 45.0
"""Seconds that a job process may take to load what it needs: some five, and many times that on a busy machine. LiveKit's
own limit is 10, after which it ends the process and begins anew."""
REGISTRATION = PREPARATION + 15.0
"""Seconds until LiveKit must have registered the worker, which waits for its first job process before it asks."""


async def work(livekit: LiveKit, stop: asyncio.Event) -> None:
    """Until `stop` is set, or LiveKit is gone for good. Raises Failure."""
    server = make_server(livekit)
    registered = asyncio.Event()

    server.on("worker_registered", lambda *_: registered.set())  # event_hub.livekit tells the hub by itself
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
                f"LiveKit at {shown(livekit.url)} is gone and does not come back: start livekit-server.",
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
            logger.info("calls are still under way: they are ended now")
        except Exception as error:  # not registered: nothing to tell to anybody
            logger.debug("drain: %s", error)
        await server.aclose()
    await asyncio.gather(running, return_exceptions=True)


def make_server(livekit: LiveKit) -> AgentServer:
    """Not running yet."""
    server = AgentServer(
        ws_url=livekit.url,
        api_key=livekit.key,
        api_secret=livekit.secret,
        host="127.0.0.1",  # its health page is nobody else's business
        port=0,
        # By the machine's CPU, a worker on few cores would be full by its own start; and LiveKit's server gives no call
        # to one that says more than 0.7, whatever the threshold here.
        load_fnc=load,
        load_threshold=math.inf,
        num_idle_processes=round(number("AGENT_IDLE_PROCESSES")),
        setup_fnc=prepare,
        initialize_process_timeout=PREPARATION,
    )
    # The name by which a call asks for this agent; without one it is sent to every room.
    server.rtc_session(answer_call, agent_name=os.environ.get("AGENT_NAME", ""))
    return server


def load(server: AgentServer) -> float:
    """By calls, so that LiveKit shares them out among several workers; never too full for one more."""
    return min(0.5, len(server.active_jobs) / 100)


def prepare(process: JobProcess) -> None:
    """In a job process, before there is a call: load what takes time."""
    providers = chosen(os.environ)
    process.userdata["vad"] = vad = make_vad(providers)
    local = (providers.stt, providers.tts)
    if any(choice is not None and choice.plugin == "local" for choice in local):
        make_parts(providers, vad=vad).prewarm()


async def answer_call(ctx: JobContext) -> None:
    """One call, in a process of its own."""
    parts: Parts = make_parts(chosen(os.environ), vad=ctx.proc.userdata.get("vad"))
    session = make_session(parts)
    attach(session)
    session.on("close", lambda event: _closed(ctx, event))
    await session.start(Assistant(os.environ.get("HUB_AGENT_INSTRUCTIONS")), room=ctx.room)


def _closed(ctx: JobContext, event: CloseEvent) -> None:
    """The process has nothing more to do; LiveKit shows the reason."""
    ctx.shutdown(reason=event.reason.value)
