"""A voice agent whose LLM is ws_llm_server.py: Deepgram hears, the server answers, Cartesia speaks.

    python ws_llm_server.py        # in one terminal
    python agent_example.py dev    # in another; then talk to it in LiveKit's playground

Copy .env.example to .env and fill it in. Needs `pip install 'livekit-event-hub[vendors]'`.
"""

from __future__ import annotations

import os
import sys

from dotenv import load_dotenv
from livekit import agents
from livekit.agents import Agent, AgentServer, AgentSession
from livekit.plugins import cartesia, deepgram

from event_hub.livekit import WebSocketLLM, attach

NEEDED = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "DEEPGRAM_API_KEY", "CARTESIA_API_KEY")

load_dotenv(".env")
server = AgentServer()


class HealthcareAssistant(Agent):
    def __init__(self) -> None:
        super().__init__(
            instructions="You are a healthcare assistant on the phone. Answer in one or two short sentences."
        )

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the user as a healthcare assistant, and offer your help.")


def make_session() -> AgentSession[None]:
    return AgentSession(
        stt=deepgram.STT(),
        llm=WebSocketLLM(
            ws_url=os.environ.get("WS_LLM_URL") or "ws://localhost:8765", token=os.environ.get("GATEWAY_TOKEN")
        ),
        tts=cartesia.TTS(),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )


@server.rtc_session()
async def entrypoint(ctx: agents.JobContext) -> None:
    session = make_session()
    attach(session)  # what is said appears on the hub's page, if a hub runs
    await session.start(room=ctx.room, agent=HealthcareAssistant())


if __name__ == "__main__":
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing and not {"-h", "--help"} & set(sys.argv):
        sys.exit(f"agent_example: {', '.join(missing)} not set: see .env.example.")
    agents.cli.run_app(server)
