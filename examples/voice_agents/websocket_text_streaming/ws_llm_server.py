"""A healthcare assistant's LLM behind a WebSocket: `python ws_llm_server.py`, then connect to ws://localhost:8765.

It asks OpenAI (OPENAI_API_KEY; AGENT_LLM=openai/gpt-4.1 chooses another model), and answers from a script without a key.
It imports nothing of LiveKit.
"""

from __future__ import annotations

from agent.gateway.llm import LLMServer

HEALTHCARE_SYSTEM_PROMPT = (
    "You are a friendly healthcare assistant. Give general information about symptoms, medicine and healthy living in two "
    "or three short sentences, without markup, because your answers are spoken. You do not diagnose: for anything serious, "
    "advise to see a doctor, and in an emergency to call the emergency number."
)


class HealthcareLLMServer(LLMServer):
    """To use any other model, override one method, and yield the answer to `request.messages` piece by piece:

    async def _generate_streaming_response(self, request):
        async for token in my_model.stream(request.messages):
            yield token
    """

    def __init__(self) -> None:
        super().__init__(system_prompt=HEALTHCARE_SYSTEM_PROMPT, name="Healthcare LLM Server")


if __name__ == "__main__":
    HealthcareLLMServer().main()
