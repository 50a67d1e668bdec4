"""The agent's settings: from the command line, the environment or the default, in this order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from event_hub import providers

from .failure import Failure

Mode = Literal["worker", "room", "scripted", "gateway"]
MODES: tuple[Mode, ...] = ("worker", "room", "scripted", "gateway")
LIVEKIT = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
NUMBERS = {"AGENT_MIN_ENDPOINTING": 0.3, "AGENT_MAX_ENDPOINTING": 1.0, "AGENT_IDLE_PROCESSES": 1.0, "AGENT_DRAIN": 5.0}
"""Numeric settings and their defaults, in seconds or processes."""
SCRIPTED_ROOM = "scripted"
"""The default `room` of scripted conversations, so that there is one to filter by."""


@dataclass(frozen=True, slots=True)
class LiveKit:
    """How to reach the LiveKit server."""

    url: str
    key: str
    secret: str

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> LiveKit:
        """Raises Failure that names what is missing."""
        absent = [name for name in LIVEKIT if not environ.get(name)]
        if absent:
            raise Failure(
                f"{_list(absent)} {'is' if len(absent) == 1 else 'are'} not set: set {'it' if len(absent) == 1 else 'them'}"
                " (for `livekit-server --dev`: ws://127.0.0.1:7880, devkey and secret), or use the mode scripted.",
                "livekit",
            )
        url = environ["LIVEKIT_URL"].strip()
        if urlsplit_of(url).scheme not in ("ws", "wss", "http", "https"):
            raise Failure(f"LIVEKIT_URL={shown(url)} is not a URL: write ws://host:7880 or wss://….", "livekit")
        return cls(url, environ["LIVEKIT_API_KEY"], environ["LIVEKIT_API_SECRET"])


def urlsplit_of(url: str) -> SplitResult:
    """The parts of a URL; all empty if it is not one."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        return parts if parts.hostname else urlsplit("")
    except ValueError:
        return urlsplit("")


def shown(url: str) -> str:
    """A URL to show: without user name and password."""
    parts = urlsplit_of(url)
    if not parts.hostname:
        return "(not a URL)" if "@" in url else url[:200]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def check_numbers() -> None:
    """Check every numeric setting; raises Failure."""
    for name in NUMBERS:
        number(name)


def choose_mode(environ: Mapping[str, str]) -> tuple[Mode, str]:
    """The default mode, and a sentence that says why."""
    absent = [name for name in LIVEKIT if not environ.get(name)] + missing_keys(environ)
    if absent:
        return "scripted", f"{_list(absent)} not set: playing a scripted conversation."
    return "worker", "LiveKit and the providers are configured: registering as a worker."


def missing_keys(environ: Mapping[str, str]) -> list[str]:
    """Environment variables that the chosen providers need but that are not set; raises Failure."""
    try:
        return providers.missing(environ)
    except ValueError as error:
        raise Failure(str(error)) from None


def require_keys(environ: Mapping[str, str]) -> None:
    """Raises Failure that names the providers' missing keys."""
    absent = missing_keys(environ)
    if absent:
        raise Failure(
            f"{_list(absent)} {'is' if len(absent) == 1 else 'are'} not set, and the chosen providers need "
            f"{'it' if len(absent) == 1 else 'them'}: set {'it' if len(absent) == 1 else 'them'}, or "
            "AGENT_PROVIDERS=local, which needs no key."
        )


def mode_of(text: str) -> Mode:
    if text not in MODES:
        raise Failure(f"Unknown mode {text[:40]!r}: choose worker, room, scripted or gateway.")
    return text


def number(name: str) -> float:
    """The value of a numeric setting; raises Failure."""
    text = os.environ.get(name, "").strip()
    if not text:
        return NUMBERS[name]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < 1e6:
        raise Failure(f"{name}={text[:40]!r}: write a number, 0 or more.")
    return value


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
