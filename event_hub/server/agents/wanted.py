"""What is to be started: the mode, the program and its environment. Refused in a sentence where something is missing."""

from __future__ import annotations

import importlib.machinery
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from typing import NamedTuple

from ... import providers
from ..errors import HubError
from ..settings import LIVEKIT_NAMES, Settings
from .record import Record

SCRIPTED_NOTE = (
    "No LiveKit server and no provider key is configured, so this is the scripted conversation: it needs neither. "
    "For a real one set LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET and {keys} (docs/launcher.md)."
)
_NOT_OURS = ("HUB_AGENT_ROOM", "HUB_AGENT_INSTRUCTIONS", "NOTIFY_SOCKET", "HUB_FORWARD", "HUB_FORWARD_SECRET")
"""Variables of the hub's own environment that would mean something else to the program, and secrets that are none of
its business."""


class Wanted(NamedTuple):
    """What a start asks for, decided."""

    mode: str
    room: str | None
    instructions: str | None
    note: str | None
    command: list[str]


def decide(settings: Settings, mode: str | None, room: str | None, instructions: str | None) -> Wanted:
    """The mode that is asked for, or the one that what is configured allows; raises `HubError`."""
    words = command(settings)
    note = None
    if is_ours(words):
        mode, note = _mode(settings.environ, mode, room)
    return Wanted(mode or "worker", room, instructions, note, words)


def command(settings: Settings) -> list[str]:
    """The command line of `HUB_AGENT`, ready to be started; raises `HubError` where there is no such program."""
    words = shlex.split(settings.agent, posix=os.name != "nt")
    if words[0] == "python":
        words[0] = sys.executable
    found = shutil.which(words[0], path=settings.environ.get("PATH"))
    if found is None:
        raise HubError("agent_unavailable", f"HUB_AGENT={settings.agent}: {words[0]} is not a program that can be run")
    if words[0] == sys.executable and words[1:2] == ["-m"] and len(words) > 2:
        module = words[2].partition(".")[0]
        if importlib.machinery.PathFinder.find_spec(module, [os.getcwd(), *sys.path]) is None:
            raise HubError(
                "agent_unavailable",
                f"HUB_AGENT={settings.agent}: there is no module {module} here; start the hub in the folder that has it, "
                "or name your own program in HUB_AGENT",
            )
    return words


def is_ours(words: list[str]) -> bool:
    """Whether it is our own agent, of which we know what it needs."""
    return ["-m", "agent"] in [words[at : at + 2] for at in range(len(words))]


def environment(settings: Settings, record: Record, port: int) -> dict[str, str]:
    """The program's environment: the hub's, with `.env`, and who it is."""
    own = {
        "HUB_AGENT_ID": record.agent_id,
        "HUB_AGENT_MODE": record.mode,
        "HUB_AGENT_ROOM": record.room,
        "HUB_AGENT_INSTRUCTIONS": record.instructions,
        "HUB_URL": settings.loopback_url(port),
        "PYTHONUNBUFFERED": "1",
    }
    inherited = {name: value for name, value in settings.environ.items() if name not in _NOT_OURS}
    return {**inherited, **{name: value for name, value in own.items() if value is not None}}


def unfit(settings: Settings, command: list[str]) -> str | None:
    """What the system does not tell of a program that it does not start; None where there is no more to say."""
    for name, value in settings.environ.items():
        if "\0" in value:
            return f"the variable {name} has a character of code 0"
    program = shutil.which(command[0], path=settings.environ.get("PATH")) or command[0]
    try:
        with open(program, "rb") as file:
            first = file.readline(256)
    except OSError:
        return None
    interpreter = first[2:].split()[0].decode("utf-8", "replace") if first[:2] == b"#!" and first[2:].split() else None
    if interpreter and not os.path.exists(interpreter):
        return f"{program} names {interpreter} in its first line, and that is not there"
    return None


def _mode(environ: Mapping[str, str], mode: str | None, room: str | None) -> tuple[str, str | None]:
    """Our agent's mode, and what is to be said about it."""
    if mode == "scripted":
        return mode, None
    try:
        keys = providers.Providers.of(environ).key_names()
        absent = providers.missing(environ)
    except ValueError as error:
        raise HubError("agent_not_configured", str(error), field=str(error).partition("=")[0]) from None
    unset = [name for name in LIVEKIT_NAMES if not environ.get(name, "").strip()]
    if mode is None and len(unset) == len(LIVEKIT_NAMES) and not any(environ.get(key, "").strip() for key in keys):
        return "scripted", SCRIPTED_NOTE.format(keys=" and ".join(absent) or "the keys of your providers")
    if missing := unset + absent:
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise HubError(
            "agent_not_configured",
            f"{' and '.join(missing)} {are} not set: set {them} in the environment or in .env and restart the hub, "
            'or start with {"mode": "scripted"}, which needs none',
            missing=missing,
        )
    if mode == "room" and room is None:
        raise HubError("bad_field", "room: is missing: in the mode `room` the agent joins one room", field="room")
    return mode or ("room" if room else "worker"), None
