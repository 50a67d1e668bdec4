"""`python -m agent.gateway`: reads the settings and serves until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import click
from dotenv import load_dotenv

from event_hub.client import Publisher
from event_hub.client.address import hub_url
from event_hub.client.credentials import credential

from .. import install_speech, running
from ..failure import Failure
from .settings import GatewaySettings

logger = logging.getLogger("agent.gateway")

CLOSE_HUB = 5.0
"""Seconds to send the last events to the hub."""


def main() -> None:
    """Run the command. The environment wins over `.env` in the current folder."""
    load_dotenv(".env")
    warnings.filterwarnings("ignore", message="The HMAC key is")
    command()


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--host", envvar="GATEWAY_HOST", show_envvar=True, help="Address to listen on. Default: localhost.")
@click.option(
    "--port",
    envvar="GATEWAY_PORT",
    show_envvar=True,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Default: 8765.",
)
@click.option(
    "--llm-port",
    envvar="GATEWAY_LLM_PORT",
    show_envvar=True,
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="A second port, on which / is the LLM protocol, for clients that know no path. Default: none.",
)
@click.option(
    "--uploads",
    envvar="GATEWAY_UPLOADS",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for recordings. Default: uploads.",
)
def command(host: str | None, port: int | None, llm_port: int | None, uploads: Path | None) -> None:
    """Text chat, a remote LLM, recording, transcription and streamed replies over WebSockets, without a LiveKit room.

    It needs no key: by default speech is local and the LLM is scripted. Choose providers with AGENT_STT, AGENT_LLM and
    AGENT_TTS. Everything that happens is reported to the hub at HUB_URL. See docs/gateway.md for all settings.
    """
    running.exit_on_signals()
    os.environ.setdefault("LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE", "0")  # saves 70 MB
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        run(host=host, port=port, llm_port=llm_port, uploads=uploads)
    except Failure as failure:
        click.echo(f"gateway: {failure.sentence}", err=True)
        _report_failure(failure)
        sys.exit(failure.code)


def run(**given: Any) -> None:
    """Serve with the settings of the environment, until SIGTERM or Ctrl-C; `given` wins over them. Raises Failure."""
    settings = GatewaySettings.of(os.environ, **given)
    _check_hub_settings()
    _install_speech()
    serve(settings)


def _install_speech() -> None:
    """Install local speech if it is chosen and missing. Without it, everything but speech works."""
    from .parts import read_providers

    providers = read_providers(os.environ)
    try:
        install_speech.ensure(providers, lambda text: click.echo(f"gateway: {text}", err=True))
    except Failure as failure:
        logger.warning("%s", failure.sentence)


def serve(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises Failure."""
    running.run(lambda stop: _serve(settings, stop))


async def _serve(settings: GatewaySettings, stop: asyncio.Event) -> None:
    from .parts import Parts, read_providers
    from .server import Gateway

    providers = read_providers(os.environ)
    click.echo("The gateway is loading LiveKit (a few seconds)", err=True)
    utils = await asyncio.to_thread(_load_livekit)
    publisher = Publisher(flush_at_exit=CLOSE_HUB)
    async with utils.http_context.open():
        gateway = Gateway(settings, parts=Parts(providers), publisher=publisher)
        try:
            await gateway.start()
            address = f"http://{_name(settings.host)}:{gateway.port}"
            click.echo(f"The gateway listens on {address}\nPages: {_pages(address)}\nPress Ctrl-C to stop", err=True)
            _report_ready(publisher, address)
            await stop.wait()
        finally:
            await gateway.stop()
            await asyncio.to_thread(publisher.close, CLOSE_HUB)


def _load_livekit() -> Any:
    from livekit.agents import utils

    from .. import pipeline

    pipeline.set_placeholder_key()
    return utils


def _pages(address: str) -> str:
    return f"{address}/ (voice), {address}/websocket_client.html (text chat), {address}/chat_client.html (LLM)"


def _name(host: str) -> str:
    return GatewaySettings(host=host, token="-").address.rpartition(":")[0].partition("://")[2]


def _report_ready(publisher: Publisher, address: str) -> None:
    event = {"type": "agent_ready", "message": f"The gateway listens on {address}.", "address": address}
    if agent := os.environ.get("HUB_AGENT_ID"):
        event["agent_id"] = agent
    publisher.publish(event)


def _report_failure(failure: Failure) -> None:
    """So that the launcher's status shows it, if a hub started this gateway."""
    agent = os.environ.get("HUB_AGENT_ID")
    if not agent:
        return
    with contextlib.suppress(ValueError):
        publisher = Publisher(flush_at_exit=0)
        publisher.publish(
            {
                "type": "agent_error",
                "message": failure.sentence,
                "source": failure.source,
                "recoverable": False,
                "agent_id": agent,
            }
        )
        publisher.close(3.0)


def _check_hub_settings() -> None:
    try:
        hub_url()
        credential()
    except ValueError as error:
        raise Failure(f"HUB_URL or HUB_KEY is malformed: {error}") from None
