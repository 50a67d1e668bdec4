"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}
"""Of every command."""


class Wanted(TypedDict):
    """Which events, as `event_hub.client` takes it."""

    room: tuple[str, ...]
    type: tuple[str, ...]
    session: tuple[str, ...]


def hub_options(function: F) -> F:
    """`--hub` and `--key`: which hub, and the key that it may ask for."""
    function = click.option("--key", envvar="HUB_KEY", show_envvar=True, help="A key, where the hub asks for one.")(
        function
    )
    return click.option(
        "--hub",
        "url",
        envvar="HUB_URL",
        show_envvar=True,
        default="http://localhost:5000",
        show_default=True,
        metavar="URL",
        help="The hub.",
    )(function)


def filter_options(function: F) -> F:
    """`--room`, `--type`, `--session`: which events; each may be given several times, `*` stands for anything."""
    for name, about in (
        ("session", "Only of this session."),
        ("type", "Only of this type."),
        ("room", "Only of this room; repeat it for more, * stands for anything."),
    ):
        function = click.option(f"--{name}", f"{name}s", multiple=True, metavar="GLOB", help=about)(function)
    return function


def checked(make: Callable[[], T]) -> T:
    """What `make` makes; a ValueError of it (a URL or key that cannot be one) is a wrong option."""
    try:
        return make()
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def count(number: int, noun: str = "event") -> str:
    """`1 event`, `1,234 events`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
