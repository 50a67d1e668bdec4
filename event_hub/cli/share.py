"""`event-hub share`: a link to watch with."""

from __future__ import annotations

import time

import click
import msgspec

from ..client import Hub
from .describe import clock, day
from .exits import with_exit_code, write_stderr
from .options import CONTEXT_SETTINGS, hub_options, or_usage_error

_EPILOG = """\b
Examples:
  event-hub share --room support-7 --for 2h
  event-hub share --session AS_38a9aaf739ce --for 7d
  event-hub share --room demo --room 'captions-*' --for 30m
  curl -N "$(event-hub share --room demo --json | jq -r '.stream')"

\b
Exit codes:
  0    the link was made
  1    the hub refused the request: it takes a key with control (HUB_CONTROL_KEYS)
  2    invalid options
  3    no response, or not from a hub
  130  Ctrl-C                   143  SIGTERM

Anyone who has the link can watch until it expires; it allows nothing else. To end it earlier, remove the key that it was
made with from the hub.
"""


@click.command("share", context_settings=CONTEXT_SETTINGS, epilog=_EPILOG, short_help="Make a link to watch with.")
@hub_options
@click.option("--room", "rooms", multiple=True, metavar="GLOB", help="Share this room. Repeatable.")
@click.option("--session", metavar="ID", help="Share this session only; --room says of which room, if several have it.")
@click.option(
    "--for",
    "lifetime",
    default="2h",
    show_default=True,
    metavar="TIME",
    help="How long the link is valid: 30m, 2h, 7d.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON: url, stream, token, expires_at (epoch seconds).")
@with_exit_code
def command(
    url: str, key: str | None, rooms: tuple[str, ...], session: str | None, lifetime: str, as_json: bool
) -> int:
    """Make a link with which anyone can watch a room or a session, for a while, and print it.

    It opens the page. Programs can read the stream with it.
    """
    if not rooms and session is None:
        raise click.UsageError("Give --room or --session: what the link shows.")
    with or_usage_error(lambda: Hub(url, key=key)) as hub:
        link = hub.share(lifetime, rooms=rooms, session=session)
    if as_json:
        stream = f"{hub.url}/api/stream?access_token={link.token}"
        answer = {"url": link.url, "stream": stream, "token": link.token, "expires_at": link.expires_at}
        click.echo(msgspec.json.encode(answer))
        return 0
    click.echo(link.url)
    write_stderr(f"valid until {day(link.expires_at)} {clock(link.expires_at)[:8]} ({time.strftime('%Z')})")
    return 0
