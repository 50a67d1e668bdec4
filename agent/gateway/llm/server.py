"""`LLMServer`: the model behind `/llm`, and a server of its own for it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import click
from dotenv import load_dotenv

from event_hub.client import Publisher
from event_hub.providers import SCRIPTED
from event_hub.websocket_protocols.llm import ChatRequest

from ... import running
from ...failure import Failure
from ..settings import GatewaySettings
from .backends import Backend, Piece
from .choose import backend_of, choice_of

STATE = "llm"
"""Where a gateway keeps its LLMServer."""
CLOSE_HUB = 3.0
"""Seconds to send the last events to the hub."""


class LLMServer:
    """Answers requests with a backend: by default what AGENT_LLM, OPENAI_API_KEY and OPENAI_BASE_URL choose.

    `_generate_streaming_response` is the only method to override for a model of your own. `system_prompt` becomes the first
    message of every request. `name` and `log_name` appear in the log of a server of its own.
    """

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        system_prompt: str | None = None,
        name: str = "LLM Server",
        log_name: str = "ws-llm-server",
    ) -> None:
        self.backend, self.system_prompt, self.name = backend, system_prompt, name
        self.logger = logging.getLogger(log_name)

    async def _generate_streaming_response(self, request: ChatRequest) -> AsyncIterator[Piece]:
        """Yield the answer: text as str, complete tool calls as ToolCall, and at last, optionally, a Finish.

        `request.messages` begins with the system prompt. The generator is closed when the request is cancelled. Raise
        BackendError to tell the client whether to retry; other exceptions count as retryable, and are logged.
        """
        async for piece in self._default_backend().stream(request):
            yield piece

    def pieces(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        """The answer to a request as a client sent it."""
        if self.system_prompt is not None:
            system = {"role": "system", "content": self.system_prompt}
            request = request.model_copy(update={"messages": [system, *request.messages]})
        generated: AsyncGenerator[Piece, None] = self._generate_streaming_response(request)  # type: ignore[assignment]
        return generated

    def _default_backend(self) -> Backend:
        """The backend, chosen at first use. Raises Failure that names a missing key."""
        if self.backend is None:
            self.backend = backend_of(choice_of(os.environ), os.environ)
            if self.backend.name == SCRIPTED and not os.environ.get("AGENT_LLM", "").strip():
                self.logger.warning("OPENAI_API_KEY is not set: answers come from a script.")
        return self.backend

    async def aclose(self) -> None:
        """Release the backend's connections."""
        if self.backend is not None:
            await self.backend.aclose()

    async def serve(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        token: str | None = None,
        stop: asyncio.Event | None = None,
        publisher: Publisher | None = None,
    ) -> None:
        """Serve `/` and `/llm` until `stop` is set, or for ever.

        Default: GATEWAY_HOST (localhost), GATEWAY_PORT (8765), GATEWAY_TOKEN (none). Raises Failure if the port is taken,
        if other machines could connect without a token, or if a key is missing.
        """
        from ..endpoints import LLM_ENDPOINTS
        from ..server import Gateway

        settings = GatewaySettings.of(os.environ, host=host, port=port, token=token, llm_port=0)
        gateway = Gateway(settings, endpoints=LLM_ENDPOINTS, routes=(), publisher=publisher)
        if type(self)._generate_streaming_response is LLMServer._generate_streaming_response:
            self._default_backend()  # a missing key is reported now, not at the first request
        gateway.state[STATE] = self
        gateway.on_close.append(self.aclose)
        shown = settings.address.replace("http://", "ws://", 1)
        self.logger.info("Starting %s on %s", self.name, shown)
        try:
            await gateway.start()
            self.logger.info("Server started. Press Ctrl+C to stop.")
            await (stop or asyncio.Event()).wait()
        finally:
            await gateway.stop()

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """The command line: `--host`, `--port`; settings from the environment and `.env`. Exits the process."""
        load_dotenv(".env")

        @click.command(
            context_settings={"help_option_names": ["-h", "--help"]}, help=f"{self.name}: an LLM behind a WebSocket."
        )
        @click.option("--host", envvar="GATEWAY_HOST", show_envvar=True, help="Default: localhost.")
        @click.option(
            "--port", envvar="GATEWAY_PORT", show_envvar=True, type=click.IntRange(0, 65535), help="Default: 8765."
        )
        def command(host: str | None, port: int | None) -> None:
            running.exit_on_signals()
            logging.basicConfig(level=logging.INFO, stream=sys.stderr)
            try:
                self._run(host, port)
            except Failure as failure:
                click.echo(f"{self.logger.name}: {failure.sentence}", err=True)
                sys.exit(failure.code)

        command(arguments)

    def _run(self, host: str | None, port: int | None) -> None:
        publisher = Publisher(flush_at_exit=CLOSE_HUB) if os.environ.get("HUB_URL", "").strip() else None

        async def serve(stop: asyncio.Event) -> None:
            try:
                await self.serve(host, port, stop=stop, publisher=publisher)
            finally:
                if publisher is not None:
                    await asyncio.to_thread(publisher.close, CLOSE_HUB)

        running.run(serve)
