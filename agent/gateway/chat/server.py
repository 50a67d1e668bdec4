"""`ChatServer`: the text chat as a program of its own, with your agent."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence

import click
from dotenv import load_dotenv
from livekit.agents import Agent, utils

from event_hub.client import Publisher

from ... import running
from ...failure import Failure
from ...pipeline import set_placeholder_key
from ..endpoints import ENDPOINTS
from ..parts import Parts, read_providers
from ..server import Gateway
from ..settings import GatewaySettings
from .agent import STATE, ChatAssistant

CLOSE_HUB = 3.0
"""Seconds to send the last events to the hub."""
CHAT_ENDPOINTS = tuple(endpoint for endpoint in ENDPOINTS if endpoint.target == "chat:serve")


class ChatServer:
    """Serves `/` and `/chat` with an agent for each connection. `agent` makes it: a class, or any function.

    The LLM is what AGENT_LLM chooses: by default OpenAI's `gpt-4o-mini` if OPENAI_API_KEY or OPENAI_BASE_URL is set,
    otherwise a scripted one. The conversations are reported to a hub if HUB_URL is set.
    """

    def __init__(self, agent: Callable[[], Agent] = ChatAssistant) -> None:
        self.agent = agent

    async def serve(self, host: str | None = None, port: int | None = None, *, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Default: GATEWAY_HOST (localhost), GATEWAY_PORT (8765). Raises Failure."""
        settings = GatewaySettings.of(os.environ, host=host, port=port, llm_port=0)
        publisher = Publisher(flush_at_exit=CLOSE_HUB) if os.environ.get("HUB_URL", "").strip() else None
        set_placeholder_key()
        async with utils.http_context.open():
            parts = Parts(read_providers(os.environ))
            gateway = Gateway(settings, parts=parts, publisher=publisher, endpoints=CHAT_ENDPOINTS, routes=())
            gateway.state[STATE] = self.agent
            try:
                await parts.llm()  # a missing key is reported now, not to the first client
                await gateway.start()
                click.echo(f"Starting WebSocket server on {settings.address.replace('http', 'ws', 1)}")
                click.echo("Connect using a WebSocket client or open websocket_client.html")
                if str(parts.providers.llm) == "scripted" and not os.environ.get("AGENT_LLM", "").strip():
                    click.echo("OPENAI_API_KEY is not set: answers come from a script.", err=True)
                await stop.wait()
            finally:
                await gateway.stop()
                if publisher is not None:
                    await asyncio.to_thread(publisher.close, CLOSE_HUB)

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """The command line: `--host`, `--port`; settings from the environment and `.env`. Exits the process."""
        load_dotenv(".env")

        @click.command(context_settings={"help_option_names": ["-h", "--help"]}, help="A text chat over WebSockets.")
        @click.option("--host", envvar="GATEWAY_HOST", show_envvar=True, help="Default: localhost.")
        @click.option(
            "--port", envvar="GATEWAY_PORT", show_envvar=True, type=click.IntRange(0, 65535), help="Default: 8765."
        )
        def command(host: str | None, port: int | None) -> None:
            logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
            try:
                running.run(lambda stop: self.serve(host, port, stop=stop))
            except Failure as failure:
                click.echo(f"websocket_server: {failure.sentence}", err=True)
                sys.exit(failure.code)

        command(arguments)
