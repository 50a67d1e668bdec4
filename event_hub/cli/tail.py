"""`event-hub tail`: watch events live."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TextIO

import click

from ..client import Hub, Received, subscribe
from .describe import gap_text
from .exits import CommandFailed, stop_when_reader_closes, with_exit_code, write_stderr
from .ndjson import with_id
from .options import CONTEXT_SETTINGS, FilterArguments, filter_options, hub_options, or_usage_error
from .since import resolve_since
from .tail_view import TailView, is_terminal, wants_color
from .terminal_text import escape_json

_EPILOG = """\b
Examples:
  event-hub tail
  event-hub tail --room 'support-*' --type transcript
  event-hub tail --since 5m                      # the last five minutes, then live
  event-hub tail --replay 20                     # the newest 20 events, then live
  event-hub tail --replay 20 --no-follow         # the newest 20 events, then exit
  event-hub tail --json | jq -r 'select(.type == "transcript").text'
  event-hub tail --json --ids | jq -r .id

\b
Exit codes:
  0    no more events (--no-follow, --count), or the reader closed the pipe (| head -1)
  1    the hub refused the request, or the key has expired or was removed from the hub
  2    invalid options
  3    no response, or not from a hub; once connected, tail waits for the hub to come back instead
  130  Ctrl-C                   143  SIGTERM

Lost connections and gaps are reported on stderr.
"""


@click.command("tail", context_settings=CONTEXT_SETTINGS, epilog=_EPILOG, short_help="Watch events live.")
@hub_options
@filter_options
@click.option("--since", default="", metavar="WHEN", help="Start with events since: 5m, 2h, epoch seconds, an id, all.")
@click.option("--replay", type=click.IntRange(0, 1000), metavar="N", help="Start with the newest N matching events.")
@click.option(
    "--follow/--no-follow", "-f", default=True, help="Keep watching, or exit after the stored events.  [--follow]"
)
@click.option("--count", "-n", type=click.IntRange(1), metavar="N", help="Exit after N events.")
@click.option("--json", "as_json", is_flag=True, help="One event per line, exactly as the hub sent it.")
@click.option("--ids", is_flag=True, help='With --json: {"id": …, "event": …}.')
@click.option("--color/--no-color", default=None, help="Colour; by default on a terminal, unless NO_COLOR is set.")
@with_exit_code
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
    """Watch events live: time, room, type, and what happened.

    Resumes by itself when the hub restarts, without missing or repeating an event; events that are lost for good are
    shown as a gap. On a terminal, interim transcripts and the agent's streaming text grow on the last line.
    """
    if ids and not as_json:
        raise click.UsageError("--ids requires --json.")
    if since and replay is not None:
        raise click.UsageError("--since and --replay cannot be combined: both say where to start.")
    out = sys.stdout
    if out is None:
        raise CommandFailed("stdout is closed")
    out.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    stop_when_reader_closes()
    output = _JSONOutput(out, ids) if as_json else _TextOutput(out, color)
    filters: FilterArguments = {"room": rooms, "type": types, "session": sessions}
    try:
        if follow:
            with or_usage_error(
                lambda: subscribe(url, key=key, since=since, replay=replay, on_state=output.state, **filters)
            ) as stream:
                _write(stream, output, count)
        else:
            with or_usage_error(lambda: Hub(url, key=key)) as hub:
                stored: Iterator[Received] = (
                    iter(hub.newest(replay, **filters))
                    if replay is not None
                    else hub.events(after=resolve_since(hub, since, key), **filters)
                )
                _write(stored, output, count)
    finally:
        output.close()
    return 0


def _write(events: Iterator[Received], output: _JSONOutput | _TextOutput, limit: int | None) -> None:
    shown = 0
    for received in events:
        output.show(received)
        shown += received.event["type"] != "stream_gap"
        if shown == limit:
            return


class _TextOutput:
    """Output for people."""

    def __init__(self, out: TextIO, color: bool | None) -> None:
        self._terminal = is_terminal(out)
        self._view = TailView(out, color=wants_color(out, color), terminal=self._terminal)
        self._connection = _ConnectionNotices()

    def show(self, received: Received) -> None:
        self._view.show(received.event)
        if received.event["type"] == "stream_gap" and not self._terminal:
            self._view.notice(gap_text(received.event))

    def state(self, state: str, detail: str) -> None:
        text = self._connection.text(state, detail)
        if text:
            self._view.notice(text)

    def close(self) -> None:
        self._view.close()


class _JSONOutput:
    """Output for programs."""

    def __init__(self, out: TextIO, ids: bool) -> None:
        self._out = out
        self._ids = ids
        self._terminal = out.isatty()
        self._connection = _ConnectionNotices()

    def show(self, received: Received) -> None:
        text = with_id(received) if self._ids else received.raw
        if self._terminal:
            text = escape_json(text)
        self._out.buffer.write(text.encode("utf-8", "surrogatepass") + b"\n")
        self._out.buffer.flush()
        if received.event["type"] == "stream_gap":
            write_stderr(gap_text(received.event))

    def state(self, state: str, detail: str) -> None:
        text = self._connection.text(state, detail)
        if text:
            write_stderr(text)

    def close(self) -> None:
        pass


class _ConnectionNotices:
    """Notices for the subscription's states: when the connection is lost, and when it is back."""

    def __init__(self) -> None:
        self._lost = False

    def text(self, state: str, detail: str) -> str:
        """The notice for a state; empty if there is nothing to report."""
        if state == "reconnecting":
            self._lost = True
            return f"reconnecting: {detail}"
        if state == "live" and self._lost:
            self._lost = False
            return "connected again"
        return ""  # a gap is also an event, and reported with it; a gap filled from the history is not reported
