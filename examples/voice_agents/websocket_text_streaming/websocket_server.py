"""A text chat over WebSockets: `python websocket_server.py`, then open websocket_client.html.

It asks OpenAI's gpt-4o-mini (OPENAI_API_KEY; AGENT_LLM=openai/gpt-4.1 chooses another model), and answers from a script
without a key. `--port 8766` chooses another port.
"""

from livekit.agents import Agent, function_tool

from agent.gateway.chat import ChatServer


class MyAgent(Agent):
    """Replace it with your own."""

    def __init__(self) -> None:
        super().__init__(instructions="You are a helpful assistant. Use the tool lookup_weather for the weather.")

    @function_tool
    async def lookup_weather(self, location: str) -> str:
        """Look up the weather for a place.

        Args:
            location: The city or region.
        """
        return "sunny, 68°F" if location == "San Francisco" else f"cloudy in {location}, 59°F"


if __name__ == "__main__":
    ChatServer(MyAgent).main()
