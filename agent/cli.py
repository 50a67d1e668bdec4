"""`python -m agent`: which agent to run, and how it ends. What costs seconds to import is imported when it is needed."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import warnings

import click
from dotenv import load_dotenv

from event_hub import providers
from event_hub.client.address import hub_key, hub_url

from . import running, settings
from .failure import Failure

logger = logging.getLogger("agent")

TELLING = 3.0
"""Seconds that telling the hub about a failure may take."""


def main() -> None:
    """With what `.env` in the current folder says, where the environment does not say it."""
    load_dotenv(".env")
    warnings.filterwarnings("ignore", message="The HMAC key is")  # the secret of `livekit-server --dev` is short
    command()


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--mode",
    envvar="HUB_AGENT_MODE",
    show_envvar=True,
    metavar="[worker|room|scripted]",
    help="worker: register with LiveKit and take the calls it sends. room: join one room now. scripted: play a "
    "conversation without LiveKit, key or network. Default: worker where LIVEKIT_* and the providers' keys are set, "
    "else scripted.",
)
@click.option("--room", envvar="HUB_AGENT_ROOM", show_envvar=True, help="The room to join (mode room).")
@click.option(
    "--instructions", envvar="HUB_AGENT_INSTRUCTIONS", show_envvar=True, help="What the agent is to be and to do."
)
@click.option(
    "--speed",
    type=click.FloatRange(0.1, 100),
    default=1.0,
    help="scripted: 10 is ten times as fast.",
    show_default=True,
)
@click.option("--repeat", type=click.IntRange(1), help="scripted: play so many conversations, then end.")
@click.option(
    "--forever/--once",
    default=None,
    help="scripted: conversation after conversation until stopped, or one. Default: forever where a hub started the "
    "agent, once from a terminal.",
)
@click.option("--list-providers", is_flag=True, help="Show which providers are chosen, and what they need.")
def command(
    mode: str | None,
    room: str | None,
    instructions: str | None,
    speed: float,
    repeat: int | None,
    forever: bool | None,
    list_providers: bool,
) -> None:
    """The voice agent of LiveKit Event Hub: talks with callers over LiveKit, and tells the hub at HUB_URL all it hears,
    says and does.

    Settings come from the environment: HUB_URL, LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET, AGENT_STT, AGENT_LLM,
    AGENT_TTS, AGENT_VAD, AGENT_REALTIME, AGENT_PROVIDERS=local, OPENAI_API_KEY, OPENAI_BASE_URL, …: docs/agent.md and
    docs/providers.md have them all.
    """
    running.orderly_until_running()
    os.environ.setdefault("LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE", "0")  # 70 MB less in each job process
    if instructions:
        os.environ["HUB_AGENT_INSTRUCTIONS"] = instructions  # job processes read it there
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        if list_providers:
            _show_providers()
        else:
            _hub()
            if forever is None:
                forever = bool(os.environ.get("HUB_AGENT_ID"))
            _run(mode, room, instructions, speed, repeat or (None if forever else 1))
    except Failure as failure:
        click.echo(f"agent: {failure.sentence}", err=True)
        _tell(failure)
        sys.exit(failure.code)


def _hub() -> None:
    """Raises Failure for a HUB_URL or HUB_KEY that cannot be one."""
    try:
        hub_url()
        hub_key()
    except ValueError as error:
        raise Failure(f"HUB_URL or HUB_KEY cannot be used: {error}") from None


def _run(mode: str | None, room: str | None, instructions: str | None, speed: float, times: int | None) -> None:
    if mode:
        choice = settings.mode_of(mode)
    else:
        choice, why = settings.choose_mode(os.environ)
        click.echo(f"agent: {why}", err=True)
    if choice == "scripted":
        _play(room, instructions, speed, times)
        return
    livekit = settings.LiveKit.of(os.environ)
    if choice == "room" and not room:
        raise Failure("The mode room needs a room: --room NAME, or HUB_AGENT_ROOM.")
    settings.require_keys(os.environ)
    settings.numbers()
    _serve(choice, livekit, room or "", instructions)


def _play(room: str | None, instructions: str | None, speed: float, times: int | None) -> None:
    from .scripted.play import play

    name = room or settings.SCRIPTED_ROOM
    running.run(lambda stop: play(room=name, instructions=instructions, speed=speed, times=times, stop=stop))


def _serve(mode: settings.Mode, livekit: settings.LiveKit, room: str, instructions: str | None) -> None:
    """A worker, or one room: with real providers, looked at before anything is started."""
    from . import parts
    from .checks import check

    parts.placeholder_key()
    chosen = parts.chosen(os.environ)

    async def serve(stop: asyncio.Event) -> None:
        made = parts.make_parts(chosen)  # in the worker, too: what is not installed shows here, not in the first call
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
        click.echo(f"{name}: {'missing' if name in absent else 'there'}")


def _tell(failure: Failure) -> None:
    """The hub that started this agent, or that was named, so that its status says it."""
    if not (os.environ.get("HUB_AGENT_ID") or os.environ.get("HUB_URL")):
        return
    try:
        from event_hub.livekit import publisher, report_failed

        report_failed(failure.sentence, failure.source)
        publisher().close(TELLING)
    except (ImportError, ValueError) as error:
        logger.warning("the hub cannot be told: %s", error)
