"""`event-hub export`: write the history to a file or to stdout."""

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
from .csv_rows import CSVRows
from .describe import gap_text
from .exits import (
    FAILURE,
    USAGE_ERROR,
    CommandFailed,
    CommandStopped,
    error_text,
    exit_code,
    stop_when_reader_closes,
    with_exit_code,
    write_stderr,
)
from .ndjson import with_id
from .options import CONTEXT_SETTINGS, FilterArguments, filter_options, hub_options, or_usage_error, plural
from .progress_bar import ProgressBar
from .resumable_file import ResumableFile
from .session_picker import SessionPicker
from .since import resolve_since
from .terminal_text import escape, escape_json

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
  jsonl  one event per line, exactly as the hub has it; 'event-hub post' reads it
  csv    id, timestamp, room, session, type, participant, role, text; all other fields as JSON in 'fields'
  srt, vtt, txt  the transcript of one session, as subtitles or text

\b
Exit codes:
  0    everything was exported
  1    the hub refused the request, or the file cannot be written
  2    invalid options, or the file exists
  3    no response, or not from a hub
  130  Ctrl-C                   143  SIGTERM

An interrupted export of jsonl or csv to a file is resumed by repeating the command. Until it is complete, the file is
named FILE.part.
"""


@click.command("export", context_settings=CONTEXT_SETTINGS, epilog=_EPILOG, short_help="Write the history to a file.")
@hub_options
@filter_options
@click.option(
    "--since",
    default="",
    metavar="WHEN",
    help="Start with events since: 5m, 2h, epoch seconds, an id (exclusive), all.",
)
@click.option("--before", default="", metavar="ID", help="Stop before the event with this id.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="The file.  [stdout]")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="By default from the file's suffix, else jsonl.")
@click.option("--ids", is_flag=True, help='With jsonl: {"id": …, "event": …}.')
@click.option("--spreadsheet", is_flag=True, help="With csv: make it safe to open in Excel.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option("--restart", is_flag=True, help="Start over instead of resuming FILE.part.")
@with_exit_code
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
    """Write the history, oldest event first: as JSON lines, as a table, or one session's conversation as subtitles."""
    filters: FilterArguments = {"room": rooms, "type": types, "session": sessions}
    suffix = output.suffix.lower() if output else ""
    if form is None and suffix and suffix not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise click.UsageError(f"unknown suffix {suffix}: use {known}, or choose a format with --format.")
    form = form or _SUFFIXES.get(suffix, "jsonl")
    subtitles = form in ("srt", "vtt", "txt")
    if ids and form != "jsonl":
        raise click.UsageError("--ids requires jsonl: csv has ids anyway, and subtitles have none.")
    if spreadsheet and form != "csv":
        raise click.UsageError("--spreadsheet requires csv.")
    if subtitles and types:
        raise click.UsageError(f"--type cannot be combined with {form}, which needs all events of a session.")
    if output and str(output) == "-":
        output = None
    if output and output.is_symlink():
        output = output.resolve()
    if output and output.exists() and not output.is_file():
        raise CommandFailed(f"{output} is not a regular file: to export to stdout, omit --output", USAGE_ERROR)
    if output and output.exists() and not overwrite:
        raise CommandFailed(f"{output} exists: --overwrite replaces it", USAGE_ERROR)
    if output and not output.parent.is_dir():
        raise CommandFailed(f"the folder {output.parent} does not exist", USAGE_ERROR)
    if not output:
        if sys.stdout is None:
            raise CommandFailed("stdout is closed: use --output FILE")
        stop_when_reader_closes()
    # In a pipe, a bar would collide with what the next command writes to the terminal.
    progress = ProgressBar("exported", quiet=output is None and not _is_file(sys.stdout))
    query = {**filters, "since": since, "before": before, "format": form, "ids": ids, "spreadsheet": spreadsheet}
    try:
        with or_usage_error(lambda: Hub(url, key=key)) as hub:
            if subtitles:
                _subtitles(hub, filters, resolve_since(hub, since, key), before, form, output, progress)
            elif output:
                partial = ResumableFile(
                    output, {k: list(v) if isinstance(v, tuple) else v for k, v in query.items()}, restart=restart
                )
                with closing(partial):
                    _to_file(
                        hub,
                        filters,
                        lambda: resolve_since(hub, since, key),
                        before,
                        partial,
                        _row_format(form, ids, spreadsheet),
                        progress,
                    )
                    partial.finish(overwrite=overwrite)
                write_stderr(f"{output}: {plural(partial.events)}")
            else:
                rows = _row_format(form, ids, spreadsheet)
                _to_stdout(hub, filters, resolve_since(hub, since, key), before, rows, progress)
    finally:
        progress.clear()
    return 0


EncodeRow = Callable[[Received], bytes]


def _row_format(form: str, ids: bool, spreadsheet: bool) -> tuple[bytes, EncodeRow]:
    """The header, and the function that encodes an event."""
    if form == "csv":
        rows = CSVRows(spreadsheet)
        return rows.header(), lambda received: rows.row(received.id, received.event)
    if ids:
        return b"", lambda received: with_id(received).encode() + b"\n"
    return b"", lambda received: received.raw.encode() + b"\n"


def _to_file(
    hub: Hub,
    filters: FilterArguments,
    first_id: Callable[[], str],
    before: str,
    partial: ResumableFile,
    row_format: tuple[bytes, EncodeRow],
    progress: ProgressBar,
) -> None:
    header, encode = row_format
    if partial.resumed:
        write_stderr(f"resuming {partial.path} after {plural(partial.events)} (id {partial.cursor})")
    try:
        start = partial.cursor if partial.resumed else first_id()
        if partial.empty:
            partial.write(header)
            partial.save()
        for received in hub.events(**filters, after=start, before=before):
            if received.event["type"] == "stream_gap":
                at_resume = partial.resumed and partial.cursor == start
                _report_gap(received, partial if at_resume else None, progress)
                partial.write(encode(received), received.id, events=0)
            else:
                partial.write(encode(received), received.id)
            progress.update(partial.events)
    except (CommandStopped, HubError, OSError) as error:
        progress.clear()
        resume = (
            f"{partial.path} has {plural(partial.events)}: repeat the command to resume" if partial.interrupt() else ""
        )
        if isinstance(error, CommandStopped):
            write_stderr(resume or "nothing was exported")
            raise
        text = error_text(error) if isinstance(error, HubError) else f"{partial.path}: {error.strerror or error}"
        code = exit_code(error) if isinstance(error, HubError) else FAILURE
        raise CommandFailed(f"{text}\n{resume}".rstrip(), code) from None


def _report_gap(received: Received, resuming: ResumableFile | None, progress: ProgressBar) -> None:
    """Report missing events. Raises `CommandFailed` if the gap shows that `resuming` is of another history."""
    progress.clear()
    reason = received.event.get("reason")
    if resuming is None:
        write_stderr(gap_text(received.event))
    elif reason == "retention":
        write_stderr(f"{gap_text(received.event)}: the hub deleted them while the export was interrupted")
    else:
        raise CommandFailed(
            f"the hub's history is not the one in {resuming.path} ({reason}): --restart exports the current one"
        )


def _escaped(encode: EncodeRow, escape_text: Callable[[str], str]) -> EncodeRow:
    """Rows for a terminal, with control characters escaped."""
    return lambda received: escape_text(encode(received).decode().rstrip("\r\n")).encode() + b"\n"


def _is_file(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _to_stdout(
    hub: Hub,
    filters: FilterArguments,
    start: str,
    before: str,
    row_format: tuple[bytes, EncodeRow],
    progress: ProgressBar,
) -> None:
    out = sys.stdout.buffer
    header, encode = row_format
    if sys.stdout.isatty():
        encode = _escaped(encode, escape_json if not header else lambda text: escape(text, keep="\n"))
    written, last = 0, start
    try:
        out.write(header)
        for received in hub.events(**filters, after=start, before=before):
            if received.event["type"] == "stream_gap":
                _report_gap(received, None, progress)
            out.write(encode(received))
            last = received.id
            written += 1
            progress.update(written)
        out.flush()
    except BrokenPipeError:
        raise
    except (Exception, CommandStopped) as error:
        progress.clear()
        if last and not (isinstance(error, CommandStopped) and error.code == 0):
            out.flush()
            write_stderr(f"{plural(written)} written; resume with --since {last}")
        raise


def _subtitles(
    hub: Hub, filters: FilterArguments, start: str, before: str, form: str, output: Path | None, progress: ProgressBar
) -> None:
    picker = SessionPicker(room=bool(filters["room"]) and not filters["session"])
    for received in hub.events(**filters, after=start, before=before):
        picker.add(received.event)
        progress.update(picker.events)
    progress.clear()
    if not picker.events:
        raise CommandFailed("no matching events: check --session, --room and --since")
    text, captions = picker.render(form)
    if not captions:
        write_stderr("no transcripts found")
    if output is None:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    temporary = output.with_name(output.name + ".part")
    temporary.write_bytes(text.encode())
    temporary.replace(output)
    write_stderr(f"{output}: {plural(captions, 'line' if form == 'txt' else 'caption')}")
