"""Options shared by several commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


class FilterArguments(TypedDict):
    """The filter in the form that `event_hub.client` takes."""

    room: tuple[str, ...]
    type: tuple[str, ...]
    session: tuple[str, ...]


def hub_options(function: F) -> F:
    """`--hub` and `--key`."""
    function = click.option(
        "--key",
        envvar="HUB_KEY",
        show_envvar=True,
        metavar="KEY|@FILE",
        help="A key of the hub, if it requires one. On the command line every user of this machine can see it: better set "
        "HUB_KEY, or write @FILE to read it from a file.",
    )(function)
    return click.option(
        "--hub",
        "url",
        envvar="HUB_URL",
        show_envvar=True,
        default="http://localhost:5000",
        show_default=True,
        metavar="URL",
        help="The hub's address.",
    )(function)


def filter_options(function: F) -> F:
    """`--room`, `--type` and `--session`, each repeatable."""
    for name, about in (
        ("session", "Only events of this session."),
        ("type", "Only events of this type."),
        ("room", "Only events of this room. Repeatable, like --type and --session; * matches anything."),
    ):
        function = click.option(f"--{name}", f"{name}s", multiple=True, metavar="GLOB", help=about)(function)
    return function


def or_usage_error(make: Callable[[], T]) -> T:
    """Call `make`; a ValueError (an invalid URL or key) becomes a usage error."""
    try:
        return make()
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def plural(number: int, noun: str = "event") -> str:
    """`1 event`, `1,234 events`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
