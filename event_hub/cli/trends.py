"""`event-hub trends`: figures over time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Literal

import click
import msgspec

from ..client import Hub
from .describe import LATENCIES, duration
from .exits import with_exit_code, write_stderr
from .options import CONTEXT_SETTINGS, hub_options, or_usage_error
from .terminal_text import escape, width

_EPILOG = """\b
Examples:
  event-hub trends                               # the last 7 days, by agent
  event-hub trends --by version --since 24h      # is the new version faster?
  event-hub trends --json | jq '.groups[].points'

\b
Exit codes:
  0    success
  1    the hub refused the request
  2    invalid options
  3    no response, or not from a hub
  130  Ctrl-C                   143  SIGTERM

docs/sessions.md explains the figures.
"""
_COUNTS = ("sessions", "turns", "errors", "tool_errors", "interruptions")
_FIGURES = ("end_of_turn_delay", "llm_node_ttft", "tts_node_ttfb", "tools")


@click.command("trends", context_settings=CONTEXT_SETTINGS, epilog=_EPILOG, short_help="Show figures over time.")
@hub_options
@click.option("--room", "rooms", multiple=True, metavar="GLOB", help="Only sessions of this room. Repeatable.")
@click.option(
    "--by",
    type=click.Choice(["agent", "version", "room"]),
    default="agent",
    show_default=True,
    help="What makes a row.",
)
@click.option("--since", default="7d", show_default=True, metavar="WHEN", help="24h, 7d, epoch seconds, or all.")
@click.option("--json", "as_json", is_flag=True, help="JSON as the hub sends it, with the points over time.")
@with_exit_code
def command(
    url: str,
    key: str | None,
    rooms: tuple[str, ...],
    by: Literal["agent", "version", "room"],
    since: str,
    as_json: bool,
) -> int:
    """Show how many sessions there were, what went wrong, and how long users waited.

    response: from the end of the user's speech to the start of the agent's, median and 95th percentile; the other latencies
    are medians.
    """
    with or_usage_error(lambda: Hub(url, key=key, timeout=60.0)) as hub:
        answer = hub.series(by=by, since=since, room=rooms)
    groups = answer["groups"]
    for line in [msgspec.json.encode(answer).decode()] if as_json else _table(by, groups):
        sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()
    if not groups:
        write_stderr("no sessions in this time")
    elif answer.get("more"):
        write_stderr(f"only the {len(groups)} with the most sessions are shown")
    return 0


def _table(by: str, groups: list[dict[str, Any]]) -> Iterator[str]:
    names = [name.replace("_", " ") for name in _COUNTS]
    header = [by, *names, "response", "p95", *(LATENCIES.get(name, name) for name in _FIGURES)]
    rows = [header, *(_row(group) for group in groups)] if groups else []
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *rest = (
            cell + " " * (columns - width(cell)) if number == 0 else " " * (columns - width(cell)) + cell
            for number, (cell, columns) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *rest])


def _row(group: dict[str, Any]) -> list[str]:
    total = group["total"]
    latency = total.get("latency") or {}
    response = latency.get("e2e_latency") or latency.get("response_time") or {}
    medians = (duration((latency.get(name) or {}).get("median")) for name in _FIGURES)
    counts = (str(total.get(name, 0)) for name in _COUNTS)
    name = escape(group["name"] or "(none)")
    return [name, *counts, duration(response.get("median")), duration(response.get("p95")), *medians]
