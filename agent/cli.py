"""`python -m agent`: choose the mode and run it. Modules that take seconds to import are imported where they are used."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import warnings

import click
from dotenv import load_dotenv

from event_hub import providers
from event_hub.client.address import hub_url
from event_hub.client.credentials import credential

from . import install_speech, running, settings
from .failure import Failure

logger = logging.getLogger("agent")

REPORT_TIMEOUT = 3.0
"""Seconds to report a failure to the hub."""


def main() -> None:
    """Run the command. The environment wins over `.env` in the current folder."""
    load_dotenv(".env")
    warnings.filterwarnings("ignore", message="The HMAC key is")  # the secret of `livekit-server --dev` is short
    command()


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--mode",
    envvar="HUB_AGENT_MODE",
    show_envvar=True,
    metavar="[worker|room|scripted|gateway]",
    help="worker: register with LiveKit and take the calls it sends. room: join one room now. scripted: play a "
    "conversation without LiveKit, keys or a network. gateway: the same as python -m agent.gateway. Default: worker if "
    "LIVEKIT_* and the providers' keys are set, otherwise scripted.",
)
@click.option("--room", envvar="HUB_AGENT_ROOM", show_envvar=True, help="The room to join (mode room).")
@click.option("--instructions", envvar="HUB_AGENT_INSTRUCTIONS", show_envvar=True, help="The agent's instructions.")
@click.option(
    "--speed",
    type=click.FloatRange(0.1, 100),
    default=1.0,
    help="scripted: playback speed; 10 is ten times as fast.",
    show_default=True,
)
@click.option("--repeat", type=click.IntRange(1), help="scripted: end after this many conversations.")
@click.option(
    "--forever/--once",
    default=None,
    help="scripted: play conversations until stopped, or only one. Default: --forever if a hub started the agent, "
    "otherwise --once.",
)
@click.option("--list-providers", is_flag=True, help="Show the chosen providers and the keys that they need.")
def command(
    mode: str | None,
    room: str | None,
    instructions: str | None,
    speed: float,
    repeat: int | None,
    forever: bool | None,
    list_providers: bool,
) -> None:
    """The voice agent of LiveKit Event Hub: talks with callers over LiveKit, and publishes everything that it hears, says
    and does to the hub at HUB_URL.

    Settings are read from the environment: HUB_URL, LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, AGENT_STT,
    AGENT_LLM, AGENT_TTS, AGENT_VAD, AGENT_REALTIME, AGENT_PROVIDERS=local, OPENAI_API_KEY, OPENAI_BASE_URL, and more:
    see docs/agent.md and docs/providers.md.
    """
    running.exit_on_signals()
    os.environ.setdefault("LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE", "0")  # saves 70 MB in each job process
    if instructions:
        os.environ["HUB_AGENT_INSTRUCTIONS"] = instructions  # where job processes read it
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if list_providers:
            _show_providers()
        else:
            _check_hub_settings()
            if forever is None:
                forever = bool(os.environ.get("HUB_AGENT_ID"))
            _run(mode, room, instructions, speed, repeat or (None if forever else 1))
    except Failure as failure:
        click.echo(f"agent: {failure.sentence}", err=True)
        _report(failure)
        sys.exit(failure.code)


def _check_hub_settings() -> None:
    """Raises Failure if HUB_URL or HUB_KEY is malformed."""
    try:
        hub_url()
        credential()
    except ValueError as error:
        raise Failure(f"HUB_URL or HUB_KEY is malformed: {error}") from None


def _run(mode: str | None, room: str | None, instructions: str | None, speed: float, times: int | None) -> None:
    if mode:
        choice = settings.mode_of(mode)
    else:
        choice, why = settings.choose_mode(os.environ)
        click.echo(f"agent: {why}", err=True)
    if choice == "gateway":
        from .gateway import cli as gateway

        gateway.run()
        return
    if choice == "scripted":
        _play(room, instructions, speed, times)
        return
    livekit = settings.LiveKit.of(os.environ)
    if choice == "room" and not room:
        raise Failure("The mode room needs a room: set --room NAME or HUB_AGENT_ROOM.")
    settings.require_keys(os.environ)
    settings.check_numbers()
    _serve(choice, livekit, room or "", instructions)


def _play(room: str | None, instructions: str | None, speed: float, times: int | None) -> None:
    from .scripted.play import play

    name = room or settings.SCRIPTED_ROOM
    running.run(lambda stop: play(room=name, instructions=instructions, speed=speed, times=times, stop=stop))


def _serve(mode: settings.Mode, livekit: settings.LiveKit, room: str, instructions: str | None) -> None:
    """Run a worker or join one room, with real providers that are checked first."""
    from . import pipeline
    from .checks import check

    pipeline.set_placeholder_key()
    chosen = pipeline.read_providers(os.environ)
    install_speech.ensure(chosen, lambda text: click.echo(f"agent: {text}", err=True))

    async def serve(stop: asyncio.Event) -> None:
        made = pipeline.make_pipeline(chosen)  # for a worker too: a missing plugin shows now, not at the first call
        await asyncio.to_thread(check, livekit, chosen)
        if mode == "worker":
            from .worker import work

            await work(livekit, stop)
        else:
            from .room import stay

            await asyncio.to_thread(made.prewarm)
            await stay(livekit, room, instructions, made, stop)

    running.run(serve)


def _show_providers() -> None:
    try:
        chosen, absent = providers.Providers.of(os.environ), set(providers.missing(os.environ))
    except ValueError as error:
        raise Failure(str(error)) from None
    for kind in ("stt", "llm", "tts", "vad", "realtime"):
        click.echo(f"AGENT_{kind.upper():9} {getattr(chosen, kind) or 'none'}")
    for name in chosen.key_names():
        click.echo(f"{name}: {'missing' if name in absent else 'set'}")


def _report(failure: Failure) -> None:
    """Report a failure to the hub, if one started this agent or HUB_URL names one, so that its status shows it."""
    if not (os.environ.get("HUB_AGENT_ID") or os.environ.get("HUB_URL")):
        return
    try:
        from event_hub.livekit import publisher, report_failed

        report_failed(failure.sentence, failure.source)
        publisher().close(REPORT_TIMEOUT)
    except (ImportError, ValueError) as error:
        logger.warning("the failure cannot be reported to the hub: %s", error)
