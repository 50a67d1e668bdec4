"""`event-hub tail`: events as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TextIO

import click

from ..client import Hub, Received, subscribe
from .ending import Failed, command_body, end_with_reader, say
from .options import SETTINGS, Wanted, checked, filter_options, hub_options
from .place import after, with_id
from .plain import plain_json
from .pretty import gap_text
from .view import View, is_terminal, wants_color

_EPILOG = """\b
Examples:
  event-hub tail
  event-hub tail --room 'support-*' --type transcript
  event-hub tail --since 5m                      # the last five minutes, then live
  event-hub tail --replay 20 --no-follow         # the newest 20, and end
  event-hub tail --json | jq -r 'select(.type == "transcript").text'
  event-hub tail --json --ids | jq -r .id

\b
Exit codes:
  0    all there was was shown (--no-follow, --count), or nobody reads the output any more (| head -1)
  1    the hub has refused        2  wrong options
  3    the hub does not answer, or it is no hub (once the stream was open, tail waits for the hub to come back)
  130  Ctrl-C                   143  SIGTERM

Connection and gaps are told on stderr.
"""


@click.command("tail", context_settings=SETTINGS, epilog=_EPILOG, short_help="Watch events as they come.")
@hub_options
@filter_options
@click.option("--since", default="", metavar="WHEN", help="Begin with: 5m, 2h, epoch seconds, an event's id, all.")
@click.option("--replay", type=click.IntRange(0, 1000), metavar="N", help="Begin with the newest N that match.")
@click.option("--follow/--no-follow", default=True, help="Wait for more, or show what is there and end.  [--follow]")
@click.option("--count", "-n", type=click.IntRange(1), metavar="N", help="End after N events.")
@click.option("--json", "as_json", is_flag=True, help="One event a line, as the hub sent it.")
@click.option("--ids", is_flag=True, help='With --json: {"id": …, "event": …}.')
@click.option("--color/--no-color", default=None, help="Colour; by default on a terminal, unless NO_COLOR is set.")
@command_body
def command(
    url: str,
    key: str | None,
    rooms: tuple[str, ...],
    types: tuple[str, ...],
    sessions: tuple[str, ...],
    since: str,
    replay: int | None,
    follow: bool,
    count: int | None,
    as_json: bool,
    ids: bool,
    color: bool | None,
) -> int:
    """Show events as they come: the time, the room, the type, and what happened.

    Goes on by itself when the hub restarts: no event is missed, none comes twice; what is lost all the same shows as a
    gap. On a terminal, interim transcripts and the agent's streaming text grow on the last line.
    """
    if ids and not as_json:
        raise click.UsageError("--ids goes with --json.")
    if since and replay is not None:
        raise click.UsageError("--since and --replay both say where to begin: give one of them.")
    out = sys.stdout
    if out is None:
        raise Failed("there is no stdout to write to")
    out.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    end_with_reader()
    writer = _Json(out, ids) if as_json else _Pretty(out, color)
    wanted: Wanted = {"room": rooms, "type": types, "session": sessions}
    try:
        if follow:
            with checked(
                lambda: subscribe(url, key=key, since=since, replay=replay, on_state=writer.state, **wanted)
            ) as stream:
                _write(stream, writer, count)
        else:
            with checked(lambda: Hub(url, key=key)) as hub:
                stored: Iterator[Received] = (
                    iter(hub.newest(replay, **wanted))
                    if replay is not None
                    else hub.events(after=after(hub, since, key), **wanted)
                )
                _write(stored, writer, count)
    finally:
        writer.close()
    return 0


def _write(events: Iterator[Received], writer: _Json | _Pretty, most: int | None) -> None:
    shown = 0
    for received in events:
        writer.show(received)
        shown += received.event["type"] != "stream_gap"
        if shown == most:
            return


class _Pretty:
    """Lines for people."""

    def __init__(self, out: TextIO, color: bool | None) -> None:
        self._terminal = is_terminal(out)
        self._view = View(out, color=wants_color(out, color), terminal=self._terminal)
        self._states = _States()

    def show(self, received: Received) -> None:
        self._view.show(received.event)
        if received.event["type"] == "stream_gap" and not self._terminal:
            self._view.notice(gap_text(received.event))

    def state(self, state: str, detail: str) -> None:
        text = self._states.text(state, detail)
        if text:
            self._view.notice(text)

    def close(self) -> None:
        self._view.close()


class _Json:
    """Lines for programs."""

    def __init__(self, out: TextIO, ids: bool) -> None:
        self._out = out
        self._ids = ids
        self._terminal = out.isatty()
        self._states = _States()

    def show(self, received: Received) -> None:
        text = with_id(received) if self._ids else received.raw
        if self._terminal:
            text = plain_json(text)
        self._out.buffer.write(text.encode("utf-8", "surrogatepass") + b"\n")
        self._out.buffer.flush()
        if received.event["type"] == "stream_gap":
            say(gap_text(received.event))

    def state(self, state: str, detail: str) -> None:
        text = self._states.text(state, detail)
        if text:
            say(text)

    def close(self) -> None:
        pass


class _States:
    """What is worth saying about the connection: that it is lost, and that it is back."""

    def __init__(self) -> None:
        self._lost = False

    def text(self, state: str, detail: str) -> str:
        if state == "reconnecting":
            self._lost = True
            return f"reconnecting: {detail}"
        if state == "live" and self._lost:
            self._lost = False
            return "connected again"
        return ""  # a gap is an event as well, and said with it; one that the history fills is none
