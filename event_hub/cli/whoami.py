"""`event-hub whoami`: what the hub takes this client for, and what it may do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from ..client import Hub
from .describe import clock, day
from .exits import with_exit_code
from .options import CONTEXT_SETTINGS, hub_options, or_usage_error
from .terminal_text import escape

_EPILOG = """\b
Examples:
  event-hub whoami
  event-hub whoami --json | jq .publish

\b
Exit codes:
  0    the hub has answered
  1    the hub does not accept the key
  2    invalid options
  3    no response, or not from a hub
  130  Ctrl-C                   143  SIGTERM
"""


@click.command("whoami", context_settings=CONTEXT_SETTINGS, epilog=_EPILOG, short_help="Show what your key allows.")
@hub_options
@click.option("--json", "as_json", is_flag=True, help="JSON as the hub sends it; null means all rooms, [] none.")
@with_exit_code
def command(url: str, key: str | None, as_json: bool) -> int:
    """Show what the hub takes you for, and what you may do there."""
    with or_usage_error(lambda: Hub(url, key=key)) as hub:
        access = hub.access()
        source = hub.credential
    if as_json:
        click.echo(msgspec.json.encode(access))
        return 0
    for line in _lines(access, hub.url, source):
        click.echo(escape(line))
    return 0


def _lines(access: dict[str, Any], url: str, source: str) -> Iterator[str]:
    kind, label = access.get("kind"), access.get("label")
    if kind == "anonymous":
        who = "anonymous: this hub requires a key (HUB_KEY)"
    elif kind == "local":
        who = "anyone: this hub is open, and everyone may do everything"
    else:
        who = f"{label} ({kind}), by {source}" if source else f"{label} ({kind})"
    yield f"hub       {url}"
    yield f"you       {who}"
    yield f"publish   {_rooms(access.get('publish'))}"
    watch = _rooms(access.get("subscribe"))
    yield f"watch     {f'session {session} in {watch}' if (session := access.get('session')) else watch}"
    yield f"control   {'yes' if access.get('control') is True else 'no'}"
    expires = access.get("expires_at")
    if isinstance(expires, int | float):
        yield f"expires   {day(expires)} {clock(expires)[:8]}"


def _rooms(rooms: Any) -> str:
    if rooms is None:
        return "all rooms"
    return ", ".join(map(str, rooms)) if isinstance(rooms, list) and rooms else "nothing"
