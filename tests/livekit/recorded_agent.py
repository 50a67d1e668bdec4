"""A LiveKit agent as its users have them, for tests: a worker that knows nothing of the hub, records its calls, and uploads
them to LIVEKIT_OBSERVABILITY_URL. With RECORDED_ATTACH=1 it has `attach`, too. RECORDED: the value of `record`, in JSON.
RECORDED_SECOND=1: the job has another session, in which one question is written. Prints `registered`; ends on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal

from livekit.agents import AgentServer, AgentSession, JobContext

from agent.assistant import Assistant
from agent.pipeline import make_pipeline, read_providers
from agent.session import make_session
from agent.worker import PREPARATION, load, prepare


async def answer_call(ctx: JobContext) -> None:
    session = make_session(make_pipeline(read_providers(os.environ), vad=ctx.proc.userdata.get("vad")))
    if os.environ.get("RECORDED_ATTACH") == "1":
        from event_hub.livekit import attach

        attach(session)
    session.on("close", lambda event: ctx.shutdown(reason=event.reason.value))
    await session.start(Assistant(None), room=ctx.room, record=json.loads(os.environ.get("RECORDED", "true")))
    if os.environ.get("RECORDED_SECOND") == "1":
        await write_a_question()


async def write_a_question() -> None:
    """A second session of the job, without a room."""
    from event_hub.livekit import attach

    async with AgentSession(llm=make_pipeline(read_providers(os.environ)).llm) as second:
        attach(second)
        await second.start(Assistant(None))
        await second.run(user_input="What is the weather in Boston?")


async def main() -> None:
    server = AgentServer(
        host="127.0.0.1", port=0, load_fnc=load, load_threshold=math.inf, num_idle_processes=1, setup_fnc=prepare,
        initialize_process_timeout=PREPARATION,
    )  # fmt: skip
    server.rtc_session(answer_call)
    server.on("worker_registered", lambda *_: print("registered", flush=True))
    running = asyncio.create_task(server.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(server.aclose()))
    await asyncio.gather(running, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
