"""What a start leads to: the mode, the program and its environment. Refused in a sentence if a setting is missing."""

from __future__ import annotations

import importlib.machinery
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ... import providers
from ..errors import RequestError
from ..settings import LIVEKIT_NAMES, Settings
from .modes import mode_of
from .record import AgentRecord

SCRIPTED_NOTE = (
    "LiveKit and the providers' keys are not configured, so the agent plays a scripted conversation, which needs neither. "
    "For real calls set LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET and {keys} (see docs/launcher.md)."
)
_NOT_INHERITED = (
    "HUB_AGENT_ROOM", "HUB_AGENT_INSTRUCTIONS", "NOTIFY_SOCKET", "HUB_FORWARD", "HUB_FORWARD_SECRET", "HUB_KEY",
    "HUB_PUBLISH_KEYS", "HUB_SUBSCRIBE_KEYS", "HUB_CONTROL_KEYS", "HUB_KEYS_FILE", "HUB_REDACT",
)  # fmt: skip
"""Variables of the hub's environment that would mean something else to the program, and secrets that it does not need."""


class LaunchPlan(NamedTuple):
    """The decision about a start request."""

    mode: str
    room: str | None
    instructions: str | None
    note: str | None
    command: list[str]


def decide(settings: Settings, mode: str | None, room: str | None, instructions: str | None) -> LaunchPlan:
    """The requested mode, or without one the mode that the settings allow; raises `RequestError`."""
    words = command(settings, mode)
    note = None
    if is_ours(words) or mode_of(mode or "").program:
        mode, note = _mode(settings.environ, mode, room)
    return LaunchPlan(mode or "worker", room, instructions, note, words)


def command(settings: Settings, mode: str | None = None) -> list[str]:
    """The command line of `mode`'s own program, or else of `HUB_AGENT`, ready to run; raises `RequestError` if there is no
    such program."""
    module = mode_of(mode or "").program
    setting = f"the mode {mode}" if module else f"HUB_AGENT={settings.agent}"
    words = ["python", "-m", module] if module else shlex.split(settings.agent, posix=os.name != "nt")
    if words[0] == "python":
        words[0] = sys.executable
    found = shutil.which(words[0], path=settings.environ.get("PATH"))
    if found is None:
        raise RequestError("agent_unavailable", f"{setting}: {words[0]} is not an executable program")
    if words[0] == sys.executable and words[1:2] == ["-m"] and len(words) > 2:
        module = words[2].partition(".")[0]
        if importlib.machinery.PathFinder.find_spec(module, [os.getcwd(), *sys.path]) is None:
            raise RequestError(
                "agent_unavailable",
                f"{setting}: there is no module {module} here; start the hub in the folder that has it, "
                "or name your own program in HUB_AGENT",
            )
    return words


def is_ours(words: list[str]) -> bool:
    """Whether this is our own agent, whose needs we know."""
    return ["-m", "agent"] in [words[at : at + 2] for at in range(len(words))]


def environment(settings: Settings, record: AgentRecord, port: int, credential: str | None = None) -> dict[str, str]:
    """The program's environment: the hub's, including `.env`, plus the agent's identity and its credential."""
    own = {
        "HUB_AGENT_ID": record.agent_id,
        "HUB_AGENT_MODE": record.mode,
        "HUB_AGENT_ROOM": record.room,
        "HUB_AGENT_INSTRUCTIONS": record.instructions,
        "HUB_URL": settings.loopback_url(port),
        "HUB_KEY": credential,
        "PYTHONUNBUFFERED": "1",
    }
    inherited = {name: value for name, value in settings.environ.items() if name not in _NOT_INHERITED}
    return {**inherited, **{name: value for name, value in own.items() if value is not None}}


def explain_failed_start(settings: Settings, command: list[str], error: Exception, folder: Path, why: str) -> str:
    """Whether the folder of records or the program is at fault, and what to do. `why`: the error in words."""
    if isinstance(error, OSError) and str(error.filename).startswith(str(folder)):
        return f"{folder} cannot be written: {error.strerror}; see HUB_AGENT_STATE"
    return f"HUB_AGENT={settings.agent} cannot be started: {_cause(settings, command) or why}"


def _cause(settings: Settings, command: list[str]) -> str | None:
    """The cause of a failed start where the system's error does not name it; None if it is not a known one."""
    for name, value in settings.environ.items():
        if "\0" in value:
            return f"the variable {name} contains a null character"
    program = shutil.which(command[0], path=settings.environ.get("PATH")) or command[0]
    try:
        with open(program, "rb") as file:
            first = file.readline(256)
    except OSError:
        return None
    interpreter = first[2:].split()[0].decode("utf-8", "replace") if first[:2] == b"#!" and first[2:].split() else None
    if interpreter and not os.path.exists(interpreter):
        return f"the first line of {program} names {interpreter}, which does not exist"
    return None


def _mode(environ: Mapping[str, str], mode: str | None, room: str | None) -> tuple[str, str | None]:
    """The mode of our own agent, and a note about the choice."""
    note = None
    if mode is None:
        mode, note = _default_mode(environ, room)
    needs = mode_of(mode)
    if needs.livekit or needs.providers:
        keys = _read_providers(environ)[1]
        unset = [name for name in LIVEKIT_NAMES if not environ.get(name, "").strip()]
        if missing := unset * needs.livekit + keys * needs.providers:
            are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
            raise RequestError(
                "agent_not_configured",
                f"{' and '.join(missing)} {are} not set: set {them} in the environment or in .env and restart the hub, "
                'or start with {"mode": "scripted"}, which needs none',
                missing=missing,
            )
    if needs.room == "required" and room is None:
        raise RequestError("bad_field", f"room: is missing; the mode {mode} joins one room", field="room")
    if needs.room == "none" and room is not None:
        raise RequestError("bad_field", f"room: the mode {mode} takes no room", field="room")
    return mode, note


def _default_mode(environ: Mapping[str, str], room: str | None) -> tuple[str, str | None]:
    """Scripted, with a note, if nothing at all is configured; otherwise a mode that says what is missing."""
    names, absent = _read_providers(environ)
    if not any(environ.get(name, "").strip() for name in (*LIVEKIT_NAMES, *names)):
        return "scripted", SCRIPTED_NOTE.format(keys=" and ".join(absent) or "the keys of your providers")
    return ("room" if room else "worker"), None


def _read_providers(environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The keys of the chosen providers, and those that are missing; raises `RequestError`."""
    try:
        return providers.Providers.of(environ).key_names(), providers.missing(environ)
    except ValueError as error:
        raise RequestError("agent_not_configured", str(error), field=str(error).partition("=")[0]) from None
