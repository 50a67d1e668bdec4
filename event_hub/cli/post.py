"""`event-hub post`: events to a hub."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import click

from ..client import Hub, HubError
from .ending import FAILED, Ended, Failed, command_body, describe, exit_code, say
from .options import SETTINGS, checked, hub_options
from .plain import plain
from .progress import Progress
from .reading import MAX_EVENT, Reader
from .sending import Sender
from .source import Source

_PATIENCE = 30.0
_LIMITS = {"event": MAX_EVENT, "body": 8 << 20, "batch": 10_000}
"""A hub's own, unless it is told otherwise."""
_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

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
  0    posted (with --skip-broken: but for the broken lines)
  1    the hub has refused, or the input is broken      2    wrong options
  3    the hub does not answer, or it is no hub         130  Ctrl-C    143  SIGTERM

A file is checked as a whole before anything is sent. A stream on stdin is sent as it comes; where it ends early, the
last line says how far it came and how to go on.
"""


@click.command("post", context_settings=SETTINGS, epilog=_EPILOG, short_help="Post events.")
@click.argument("event", nargs=-1, metavar="[TYPE [NAME=TEXT | NAME:=JSON]... | JSON | -]")
@hub_options
@click.option(
    "--file",
    "-f",
    "path",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="NDJSON, or a JSON array.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, send nothing; needs no hub.")
@click.option("--skip-broken", is_flag=True, help="Leave broken lines out, and go on.")
@click.option(
    "--from-line", type=click.IntRange(1), default=1, metavar="N", help="Begin at line N (of an array: event N)."
)
@click.option(
    "--keep-ids/--new-ids",
    default=True,
    help="Keep each event_id, so that what the hub has already is not kept twice, or give new ones.  [--keep-ids]",
)
@click.option("--run", metavar="NAME", help="Go on as this run: what it has posted already is not kept twice.")
@click.option("--rate", metavar="N", help="At most so many events a second: 20, or 20/s.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long to try again when the hub goes away.  [30; where it does not answer at all: 0]",
)
@command_body
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
    """Post one event, a file of events, or a stream of them on stdin (-).

    NAME=TEXT is text, NAME:=JSON anything else: final:=true, n:=7. Events without an event_id get one.
    """
    if bool(event) == (path is not None):
        raise click.UsageError("Give an event, or - for stdin, or --file FILE.")
    name = run or uuid.uuid4().hex[:12]
    if not (name.isascii() and name.isprintable() and len(name) <= 64):
        raise click.UsageError("--run is at most 64 ASCII characters.")
    per_second = _per_second(rate)
    first_patience = patience if patience is not None else 0.0
    source = Source(event, path, Reader(name, not keep_ids), from_line)
    with checked(lambda: Hub(url, key=key)) as hub:
        limits = _LIMITS if dry_run else _limits(hub, first_patience)
        source.reader = replace(source.reader, limit=limits["event"])
        lenient = skip_broken or dry_run
        sender = Sender(
            None if dry_run else hub,
            source.place,
            batch=limits["batch"],
            size=limits["body"],
            patience=_PATIENCE if patience is None else patience,
            per_second=per_second,
            progress=Progress("checked" if dry_run else "posted", source.size),
            on_broken=(lambda one: say(f"{source.place(one.number)}{one.reason}")) if lenient else None,
        )
        if not lenient:
            source.check()
        code = _run(source, sender, name)
        return code or (FAILED if sender.broken and not skip_broken else 0)


def _limits(hub: Hub, patience: float) -> dict[str, int]:
    """What the hub takes. The first word with it: a hub that is not there is told at once."""
    if patience:
        hub.post([], patience=patience)  # an empty POST does nothing, and is patient
    limits = hub.config().get("limits")
    named = limits if isinstance(limits, dict) else {}
    return {**_LIMITS, **{name: most for name, most in named.items() if type(most) is int}}


def _run(source: Source, sender: Sender, run: str) -> int:
    try:
        for batch in source.read():
            sender.send(batch, source.done)
        sender.finish()
    except Ended as ended:
        _say_how_far(source, sender, run, "stopped")
        return ended.code
    except HubError as error:
        _say_how_far(source, sender, run, describe(error))
        return exit_code(error)
    except Failed as failed:  # a broken line
        _say_how_far(source, sender, run, str(failed), "fix it and ")
        return failed.code
    except BrokenPipeError:
        raise
    except OSError as error:  # the input cannot be read on
        _say_how_far(source, sender, run, f"{source.name}: {error.strerror or error}")
        return FAILED
    finally:
        sender.progress.clear()
    click.echo(plain(sender.summary()))
    return 0


def _say_how_far(source: Source, sender: Sender, run: str, why: str, first: str = "") -> None:
    """Why it ended early, how far it came, and how to go on."""
    sender.progress.clear()
    if not source.counted or sender.dry:
        say(f"event-hub: {why}")
        return
    text = f"event-hub: {why.rstrip('.')}; {sender.how_far(source.unit)}"
    if sender.posted or sender.doubtful or sender.broken:
        same = f" --run {run}" if sender.doubtful else ""
        text += f"; {first}go on with --from-line {max(sender.next_line, source.first)}{same}"
    say(text)


def _per_second(rate: str | None) -> float | None:
    if rate is None:
        return None
    try:
        number = float(rate.removesuffix("/s"))
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise click.UsageError(f"--rate {rate} is no rate: write 20 or 20/s.")
    return number
