"""`event-hub export`: the history to a file, or to stdout."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TextIO

import click

from ..client import Hub, HubError, Received
from .conversations import Conversations, render
from .ending import FAILED, USAGE, Ended, Failed, command_body, describe, end_with_reader, exit_code, say
from .options import SETTINGS, Wanted, checked, count, filter_options, hub_options
from .part import Part
from .place import after, with_id
from .plain import plain, plain_json
from .pretty import gap_text
from .progress import Progress
from .table import Table

_FORMATS = ("jsonl", "csv", "srt", "vtt", "txt")
_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", **{f".{name}": name for name in _FORMATS}}

_EPILOG = """\b
Examples:
  event-hub export -o events.jsonl
  event-hub export --room 'support-*' --since 2h -o today.csv
  event-hub export --session AS_1 -o call.vtt
  event-hub export --format txt --session AS_1
  event-hub export --type transcript | jq -r .text

\b
Formats:
  jsonl  an event a line, exactly as the hub has it; 'event-hub post' takes it again
  csv    id, timestamp, room, session, type, participant, role, text; all else as JSON in 'fields'
  srt, vtt, txt  what was said in one session: subtitles, or a text to read

\b
Exit codes:
  0    all of it is there         1  the hub has refused, or the file cannot be written
  2    wrong options, or the file exists already
  3    the hub does not answer, or it is no hub
  130  Ctrl-C                   143  SIGTERM

jsonl and csv to a file go on where they were stopped: give the same command again. Until all is there, it is FILE.part.
"""


@click.command("export", context_settings=SETTINGS, epilog=_EPILOG, short_help="Write the history to a file.")
@hub_options
@filter_options
@click.option(
    "--since", default="", metavar="WHEN", help="Begin with: 5m, 2h, epoch seconds, all; or after an event's id."
)
@click.option("--before", default="", metavar="ID", help="End before the event with this id.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Where to; stdout without it.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), help="By default what the file's suffix says, else jsonl."
)
@click.option("--ids", is_flag=True, help='jsonl with {"id": …, "event": …}.')
@click.option("--spreadsheet", is_flag=True, help="csv for Excel: formulas become text, and it begins with a BOM.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option("--restart", is_flag=True, help="Begin again instead of going on with FILE.part.")
@command_body
def command(
    url: str,
    key: str | None,
    rooms: tuple[str, ...],
    types: tuple[str, ...],
    sessions: tuple[str, ...],
    since: str,
    before: str,
    output: Path | None,
    form: str | None,
    ids: bool,
    spreadsheet: bool,
    overwrite: bool,
    restart: bool,
) -> int:
    """Write the history, oldest first: as JSON lines, as a table, or one session's conversation as subtitles."""
    wanted: Wanted = {"room": rooms, "type": types, "session": sessions}
    suffix = output.suffix.lower() if output else ""
    if form is None and suffix and suffix not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise click.UsageError(f"{suffix} is no format here: there are {known}; or say which with --format.")
    form = form or _SUFFIXES.get(suffix, "jsonl")
    spoken = form in ("srt", "vtt", "txt")
    if ids and form != "jsonl":
        raise click.UsageError("--ids goes with jsonl: csv has them anyway, subtitles have none.")
    if spreadsheet and form != "csv":
        raise click.UsageError("--spreadsheet goes with csv.")
    if spoken and types:
        raise click.UsageError(f"--type does not go with {form}: it needs all of a session's events.")
    if output and str(output) == "-":
        output = None
    if output and output.is_symlink():
        output = output.resolve()
    if output and output.exists() and not output.is_file():
        raise Failed(f"{output} is no file: without --output the export goes to stdout", USAGE)
    if output and output.exists() and not overwrite:
        raise Failed(f"{output} exists already: --overwrite replaces it", USAGE)
    if output and not output.parent.is_dir():
        raise Failed(f"there is no folder {output.parent}", USAGE)
    if not output:
        if sys.stdout is None:
            raise Failed("there is no stdout to write to: give --output FILE")
        end_with_reader()
    # A bar would run into what the next command in a pipe writes to the terminal.
    progress = Progress("exported", quiet=output is None and not _is_file(sys.stdout))
    query = {**wanted, "since": since, "before": before, "format": form, "ids": ids, "spreadsheet": spreadsheet}
    try:
        with checked(lambda: Hub(url, key=key)) as hub:
            if spoken:
                _conversation(hub, wanted, after(hub, since, key), before, form, output, progress)
            elif output:
                part = Part(
                    output, {k: list(v) if isinstance(v, tuple) else v for k, v in query.items()}, restart=restart
                )
                with closing(part):
                    _to_file(
                        hub,
                        wanted,
                        lambda: after(hub, since, key),
                        before,
                        part,
                        _writer(form, ids, spreadsheet),
                        progress,
                    )
                    part.finish(overwrite=overwrite)
                say(f"{output}: {count(part.events)}")
            else:
                _to_stdout(hub, wanted, after(hub, since, key), before, _writer(form, ids, spreadsheet), progress)
    finally:
        progress.clear()
    return 0


Row = Callable[[Received], bytes]


def _writer(form: str, ids: bool, spreadsheet: bool) -> tuple[bytes, Row]:
    """What comes first, and how an event is written."""
    if form == "csv":
        table = Table(spreadsheet)
        return table.header(), lambda one: table.row(one.id, one.event)
    if ids:
        return b"", lambda one: with_id(one).encode() + b"\n"
    return b"", lambda one: one.raw.encode() + b"\n"


def _to_file(
    hub: Hub,
    wanted: Wanted,
    begin: Callable[[], str],
    before: str,
    part: Part,
    writer: tuple[bytes, Row],
    progress: Progress,
) -> None:
    header, row = writer
    if part.resumed:
        say(f"going on with {part.path} after {count(part.events)} (id {part.cursor})")
    try:
        start = part.cursor if part.resumed else begin()
        if part.empty:
            part.write(header)
            part.save()
        for received in hub.events(**wanted, after=start, before=before):
            if received.event["type"] == "stream_gap":
                _gap(received, part if part.resumed and part.cursor == start else None, progress)
                part.write(row(received), received.id, events=0)
            else:
                part.write(row(received), received.id)
            progress.update(part.events)
    except (Ended, HubError, OSError) as error:
        progress.clear()
        rest = f"{part.path} has {count(part.events)}: the same command goes on from there" if part.kept() else ""
        if isinstance(error, Ended):
            say(rest or "nothing was exported")
            raise
        text = describe(error) if isinstance(error, HubError) else f"{part.path}: {error.strerror or error}"
        code = exit_code(error) if isinstance(error, HubError) else FAILED
        raise Failed(f"{text}\n{rest}".rstrip(), code) from None


def _gap(received: Received, part: Part | None, progress: Progress) -> None:
    """Say what is missing; where the part at hand cannot be gone on with, refuse."""
    progress.clear()
    reason = received.event.get("reason")
    if part is None:
        say(gap_text(received.event))
    elif reason == "retention":
        say(f"{gap_text(received.event)}: the hub kept them no longer while the export was interrupted")
    else:
        raise Failed(
            f"the hub's history is another one than that of {part.path} ({reason}): --restart exports the one it has now"
        )


def _harmless(row: Row, escape: Callable[[str], str]) -> Row:
    """For a terminal: control characters in an event's text are written out."""
    return lambda one: escape(row(one).decode().rstrip("\r\n")).encode() + b"\n"


def _is_file(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _to_stdout(
    hub: Hub, wanted: Wanted, begin: str, before: str, writer: tuple[bytes, Row], progress: Progress
) -> None:
    out = sys.stdout.buffer
    header, row = writer
    if sys.stdout.isatty():
        row = _harmless(row, plain_json if not header else lambda text: plain(text, keep="\n"))
    written, last = 0, begin
    try:
        out.write(header)
        for received in hub.events(**wanted, after=begin, before=before):
            if received.event["type"] == "stream_gap":
                _gap(received, None, progress)
            out.write(row(received))
            last = received.id
            written += 1
            progress.update(written)
        out.flush()
    except BrokenPipeError:
        raise
    except (Exception, Ended) as error:
        progress.clear()
        if last and not (isinstance(error, Ended) and error.code == 0):
            out.flush()
            say(f"{count(written)} written; go on with --since {last}")
        raise


def _conversation(
    hub: Hub, wanted: Wanted, begin: str, before: str, form: str, output: Path | None, progress: Progress
) -> None:
    conversations = Conversations()
    for received in hub.events(**wanted, after=begin, before=before):
        conversations.take(received.event)
        progress.update(conversations.events)
    progress.clear()
    if not conversations.events:
        raise Failed("no event matches: look at --session, --room and --since")
    text, cues = render(conversations.only(), form)
    if not cues:
        say("nobody said anything in what was found: the file has no lines" if output else "nobody said anything")
    if output is None:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    fresh = output.with_name(output.name + ".part")
    fresh.write_bytes(text.encode())
    fresh.replace(output)
    say(f"{output}: {count(cues, 'line')} said")
