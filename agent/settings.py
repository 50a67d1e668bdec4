"""What the agent is to do: from the command line, else from the environment, else the default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from event_hub import providers

from .failure import Failure

Mode = Literal["worker", "room", "scripted"]
MODES: tuple[Mode, ...] = ("worker", "room", "scripted")
LIVEKIT = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
NUMBERS = {"AGENT_MIN_ENDPOINTING": 0.3, "AGENT_MAX_ENDPOINTING": 1.0, "AGENT_IDLE_PROCESSES": 1.0, "AGENT_DRAIN": 5.0}
"""Settings that are numbers, and their defaults: seconds, and processes."""
SCRIPTED_ROOM = "scripted"
"""The `room` of scripted conversations, where no other is given: something to filter by."""


@dataclass(frozen=True, slots=True)
class LiveKit:
    url: str
    key: str
    secret: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> LiveKit:
        """Raises Failure naming what is missing."""
        absent = [name for name in LIVEKIT if not environ.get(name)]
        if absent:
            raise Failure(
                f"{_list(absent)} {'is' if len(absent) == 1 else 'are'} not set: set {'it' if len(absent) == 1 else 'them'}"
                " (`livekit-server --dev` has ws://127.0.0.1:7880, devkey and secret), or use the mode scripted.",
                "livekit",
            )
        url = environ["LIVEKIT_URL"].strip()
        if urlsplit_of(url).scheme not in ("ws", "wss", "http", "https"):
            raise Failure(
                f"LIVEKIT_URL is {shown(url)}, which is no address: write ws://host:7880 or wss://….", "livekit"
            )
        return cls(url, environ["LIVEKIT_API_KEY"], environ["LIVEKIT_API_SECRET"])


def urlsplit_of(url: str) -> SplitResult:
    """The parts of an address; all of them empty where it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        return parts if parts.hostname else urlsplit("")
    except ValueError:
        return urlsplit("")


def shown(url: str) -> str:
    """An address for people: without the name and the password that may be in it."""
    parts = urlsplit_of(url)
    if not parts.hostname:
        return "not an address" if "@" in url else url[:200]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def numbers() -> None:
    """Look at every number that is used later; raises Failure."""
    for name in NUMBERS:
        number(name)


def choose_mode(environ: Mapping[str, str]) -> tuple[Mode, str]:
    """The mode where none is asked for, and a sentence that says why."""
    absent = [name for name in LIVEKIT if not environ.get(name)] + missing_keys(environ)
    if absent:
        return "scripted", f"{_list(absent)} not set: playing a scripted conversation."
    return "worker", "The LiveKit and provider keys are set: registering as a worker."


def missing_keys(environ: Mapping[str, str]) -> list[str]:
    """Environment variables that the chosen providers need and that are not set; raises Failure."""
    try:
        return providers.missing(environ)
    except ValueError as error:
        raise Failure(str(error)) from None


def require_keys(environ: Mapping[str, str]) -> None:
    """Raises Failure naming the providers' keys that are missing."""
    absent = missing_keys(environ)
    if absent:
        raise Failure(
            f"{_list(absent)} {'is' if len(absent) == 1 else 'are'} not set, and the chosen providers need "
            f"{'it' if len(absent) == 1 else 'them'}: set {'it' if len(absent) == 1 else 'them'}, or "
            "AGENT_PROVIDERS=local, which needs no key."
        )


def mode_of(text: str) -> Mode:
    if text not in MODES:
        raise Failure(f"There is no mode {text[:40]!r}: it is worker, room or scripted.")
    return text


def number(name: str) -> float:
    """A setting that is a number; raises Failure."""
    text = os.environ.get(name, "").strip()
    if not text:
        return NUMBERS[name]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < 1e6:
        raise Failure(f"{name} is {text[:40]!r}: it has to be a number of at least 0.")
    return value


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
