"""`event-hub post`: post events to a hub."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import click

from ..client import Hub, HubError
from .exits import FAILURE, CommandFailed, CommandStopped, error_text, exit_code, with_exit_code, write_stderr
from .ndjson import MAX_EVENT, LineParser
from .options import CONTEXT_SETTINGS, hub_options, or_usage_error
from .post_input import PostInput
from .progress_bar import ProgressBar
from .terminal_text import escape
from .uploader import Uploader

_PATIENCE = 30.0
_DEFAULT_LIMITS = {"event": MAX_EVENT, "body": 8 << 20, "batch": 10_000}
"""The hub's default limits."""

_EPILOG = """\b
Examples:
  event-hub post test
  event-hub post transcript text="What is the weather?" role=user participant=caller_1 room=demo final:=true
  event-hub post '{"type":"test","n":1}'
  event-hub post --file events.ndjson
  event-hub export --room demo | event-hub post - --hub http://other:5000
  event-hub post --file events.ndjson --dry-run

\b
Exit codes:
  0    posted (with --skip-broken, except invalid lines)
  1    the hub refused the request, or the input is invalid
  2    invalid options
  3    no response, or not from a hub
  130  Ctrl-C                   143  SIGTERM

A file is checked completely before anything is sent. A stream on stdin is sent as it arrives; if it ends early, the
last line says what was posted and how to resume.
"""


@click.command("post", context_settings=CONTEXT_SETTINGS, epilog=_EPILOG, short_help="Post events.")
@click.argument("event", nargs=-1, metavar="[TYPE [NAME=TEXT | NAME:=JSON]... | JSON | -]")
@hub_options
@click.option(
    "--file",
    "-f",
    "path",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Post this file: NDJSON, or a JSON array.",
)
@click.option("--dry-run", is_flag=True, help="Check the events without sending them. Needs no hub.")
@click.option("--skip-broken", is_flag=True, help="Skip invalid lines instead of stopping.")
@click.option(
    "--from-line",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Start at line N (in an array or on the command line: event N).",
)
@click.option(
    "--keep-ids/--new-ids",
    default=True,
    help="Keep each event_id, so that events the hub already has are not stored again; or replace them.  [--keep-ids]",
)
@click.option("--run", metavar="NAME", help="Resume this run: events it has already posted are not stored again.")
@click.option("--rate", metavar="N", help="Maximum events per second: 20, or 20/s.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long to retry if the hub goes away.  [30; 0 if it does not answer the first request]",
)
@with_exit_code
def command(
    event: tuple[str, ...],
    url: str,
    key: str | None,
    path: Path | None,
    dry_run: bool,
    skip_broken: bool,
    from_line: int,
    keep_ids: bool,
    run: str | None,
    rate: str | None,
    patience: float | None,
) -> int:
    """Post one event, a file of events, or a stream of events on stdin (-).

    NAME=TEXT sets a field to text, NAME:=JSON to any JSON value: final:=true, n:=7. Events without an event_id get one.
    """
    if bool(event) == (path is not None):
        raise click.UsageError("Give an event, - for stdin, or --file FILE.")
    run_name = run or uuid.uuid4().hex[:12]
    if not (run_name.isascii() and run_name.isprintable() and len(run_name) <= 64):
        raise click.UsageError("--run must be at most 64 printable ASCII characters.")
    per_second = _parse_rate(rate)
    first_patience = patience if patience is not None else 0.0
    source = PostInput(event, path, LineParser(run_name, not keep_ids), from_line)
    with or_usage_error(lambda: Hub(url, key=key)) as hub:
        limits = _DEFAULT_LIMITS if dry_run else _hub_limits(hub, first_patience)
        source.parser = replace(source.parser, limit=limits["event"])
        lenient = skip_broken or dry_run
        uploader = Uploader(
            None if dry_run else hub,
            source.label,
            max_events=limits["batch"],
            max_bytes=limits["body"],
            patience=_PATIENCE if patience is None else patience,
            per_second=per_second,
            progress=ProgressBar("checked" if dry_run else "posted", source.size),
            on_invalid=(lambda line: write_stderr(f"{source.label(line.number)}{line.reason}")) if lenient else None,
        )
        if not lenient:
            source.check()
        code = _upload(source, uploader, run_name)
        return code or (FAILURE if uploader.invalid and not skip_broken else 0)


def _hub_limits(hub: Hub, patience: float) -> dict[str, int]:
    """The hub's limits. This is the first request, so that a missing hub is reported at once."""
    if patience:
        hub.post([], patience=patience)  # an empty POST changes nothing, and unlike `config` it retries
    limits = hub.config().get("limits")
    named = limits if isinstance(limits, dict) else {}
    return {**_DEFAULT_LIMITS, **{name: limit for name, limit in named.items() if type(limit) is int}}


def _upload(source: PostInput, uploader: Uploader, run: str) -> int:
    try:
        for batch in source.read():
            uploader.send(batch, source.done)
        uploader.finish()
    except CommandStopped as stopped:
        _report_partial(source, uploader, run, "stopped")
        return stopped.code
    except HubError as error:
        _report_partial(source, uploader, run, error_text(error))
        return exit_code(error)
    except CommandFailed as failed:  # an invalid line
        _report_partial(source, uploader, run, str(failed), "fix it and ")
        return failed.code
    except BrokenPipeError:
        raise
    except OSError as error:  # the input cannot be read
        _report_partial(source, uploader, run, f"{source.name}: {error.strerror or error}")
        return FAILURE
    finally:
        uploader.progress.clear()
    click.echo(escape(uploader.summary()))
    return 0


def _report_partial(source: PostInput, uploader: Uploader, run: str, why: str, first: str = "") -> None:
    """Report why the command ended early, what was posted, and how to resume."""
    uploader.progress.clear()
    if not source.numbered or uploader.dry_run:
        write_stderr(f"event-hub: {why}")
        return
    text = f"event-hub: {why.rstrip('.')}; {uploader.partial_summary(source.unit)}"
    if uploader.posted or uploader.unconfirmed or uploader.invalid:
        same_run = f" --run {run}" if uploader.unconfirmed else ""
        text += f"; {first}resume with --from-line {max(uploader.next_line, source.first)}{same_run}"
    write_stderr(text)


def _parse_rate(rate: str | None) -> float | None:
    if rate is None:
        return None
    try:
        number = float(rate.removesuffix("/s"))
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise click.UsageError(f"--rate {rate} is not a rate: write 20 or 20/s.")
    return number
