"""LiveKit's quickstart agent, with `record=True` added, and nothing of the hub's: its calls can be heard and read again.

    LIVEKIT_OBSERVABILITY_URL=http://localhost:5000 python agent.py dev

Needs LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET and OPENAI_API_KEY, and a hub with the same LiveKit key and secret.
Unlike the quickstart, it uses OpenAI's models instead of LiveKit Cloud's, and local turn detection and interruption.
"""

from livekit import agents
from livekit.agents import Agent, AgentServer, AgentSession, inference
from livekit.plugins import openai


class Assistant(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are a helpful voice AI assistant.")


server = AgentServer()


@server.rtc_session(agent_name="my-agent")
async def my_agent(ctx: agents.JobContext) -> None:
    session: AgentSession[None] = AgentSession(
        stt=openai.STT(),
        llm=openai.LLM(model="gpt-4.1-mini"),
        tts=openai.TTS(voice="ash"),
        turn_handling={
            "turn_detection": inference.TurnDetector(version="v1-mini"),
            "interruption": {"mode": "vad"},
        },
    )

    await session.start(room=ctx.room, agent=Assistant(), record=True)
    await session.generate_reply(instructions="Greet the user and offer your assistance.")


if __name__ == "__main__":
    agents.cli.run_app(server)
