"""The modes that an agent can be started in, and what each one needs. Pure.

A new mode is a row here. Everything that depends on the mode is read from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

MOST = 8
"""Agents at once: each is a voice pipeline of 200 MB and more. A worker takes any number of rooms."""


@dataclass(frozen=True, slots=True)
class Mode:
    """What a mode needs. These rules hold for our own agent; a program in HUB_AGENT knows its needs itself."""

    room: Literal["required", "optional", "none"] = "optional"
    """Whether a start names a room. Where it cannot, the mode runs once per hub."""
    service: bool = False
    """It runs until it is stopped: an end without a stop request is a crash, even if the exit code is unknown."""
    livekit: bool = False
    """It needs the LIVEKIT_* settings."""
    providers: bool = False
    """It needs the keys of the chosen providers."""
    program: str | None = None
    """The module that is always run for it, whatever HUB_AGENT is."""
    pages: tuple[tuple[str, str], ...] = ()
    """What its service shows in a browser: name and path."""

    def page_links(self, address: str) -> list[dict[str, str]]:
        """Its pages where the service is at `address`: `{name, url}`."""
        return [{"name": name, "url": f"{address.rstrip('/')}{path}"} for name, path in self.pages]


MODES: dict[str, Mode] = {
    "worker": Mode(service=True, livekit=True, providers=True),
    "room": Mode(room="required", livekit=True, providers=True),
    "scripted": Mode(),
    "gateway": Mode(
        room="none",
        service=True,
        program="agent.gateway",
        pages=(("voice", "/voice.html"), ("chat", "/websocket_client.html"), ("llm", "/chat_client.html")),
    ),
}


def mode_of(name: str) -> Mode:
    """The mode's row; an unknown name, such as a newer hub may have recorded, needs nothing."""
    return MODES.get(name, Mode())


class AutoStart(NamedTuple):
    """An agent that the hub starts by itself."""

    mode: str
    room: str | None = None

    def __str__(self) -> str:
        """As it stands in HUB_AGENTS."""
        return f"{self.mode}:{self.room}" if self.room else self.mode


def parse_autostart(text: str) -> tuple[AutoStart, ...]:
    """`worker, room:support-7` → what HUB_AGENTS names, in order. Raises ValueError."""
    found: list[AutoStart] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, room = (piece.strip() for piece in part.partition(":"))
        if name not in MODES:
            raise ValueError(f"{part[:64]!r} is not a mode: write {', '.join(map(_form, MODES))}, separated by commas")
        agent = AutoStart(name, room or None)
        needs = MODES[name].room
        if (room and needs == "none") or (not room and needs == "required"):
            raise ValueError(f"{part[:64]!r}: write {_form(name)}")
        if len(room) > 256 or not room.isprintable():
            raise ValueError(f"{part[:64]!r}: a room has at most 256 printable characters")
        if agent in found:
            raise ValueError(f"{str(agent)[:64]!r} is named twice")
        found.append(agent)
    if len(found) > MOST:
        raise ValueError(f"names {len(found)} agents; at most {MOST} run at once")
    return tuple(found)


def _form(name: str) -> str:
    """How a mode is written in HUB_AGENTS."""
    return {"required": f"{name}:ROOM", "optional": f"{name} or {name}:ROOM", "none": name}[MODES[name].room]
