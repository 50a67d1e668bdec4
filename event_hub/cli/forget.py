"""`event-hub forget`: erase events."""

from __future__ import annotations

import sys

import click
import msgspec

from ..client import Hub
from ..client.results import Erased
from .exits import with_exit_code, write_stderr
from .options import CONTEXT_SETTINGS, hub_options, or_usage_error, plural

_EPILOG = """\b
Examples:
  event-hub forget --session AS_38a9aaf739ce --dry-run
  event-hub forget --session AS_38a9aaf739ce
  event-hub forget --participant caller_1 --before 30d --yes

\b
Exit codes:
  0    done (or, with --dry-run, counted)
  1    the hub refused the request: it takes a key with control (HUB_CONTROL_KEYS); or you did not confirm
  2    invalid options
  3    no response, or not from a hub
  130  Ctrl-C                   143  SIGTERM

Erased events keep their ids and times, so that no subscriber has a gap; nothing else of them remains in the history, in
memory, or in files that the hub has forwarded to. A session is erased with the events that name only its room, as
/api/sessions/<id> shows it. What webhook receivers have got, and what agents have logged (HUB_AGENT_STATE), is not
erased. If the command is interrupted, run it again.
"""


@click.command("forget", context_settings=CONTEXT_SETTINGS, epilog=_EPILOG, short_help="Erase events.")
@hub_options
@click.option("--session", metavar="ID", help="Events of this session.")
@click.option("--room", metavar="NAME", help="Events of this room.")
@click.option("--participant", metavar="ID", help="Events of this participant.")
@click.option("--before", metavar="TIME", help="Events received before: 30d for 30 days ago, or epoch seconds.")
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="The hub's answer as JSON.")
@with_exit_code
def command(
    url: str,
    key: str | None,
    session: str | None,
    room: str | None,
    participant: str | None,
    before: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Erase the events that have everything you name, for good."""
    if all(given is None for given in (session, room, participant, before)):
        raise click.UsageError("Name a --session, --room, --participant or --before: what to erase.")
    with or_usage_error(lambda: Hub(url, key=key)) as hub:
        if not dry_run and not yes:
            if not sys.stdin.isatty():
                raise click.UsageError("Add --yes to erase without being asked, or --dry-run to count.")
            counted = hub.forget(session=session, room=room, participant=participant, before=before, dry_run=True)
            if not click.confirm(f"Erase {_told(counted)} for good?", err=True):
                return 1
        erased = hub.forget(session=session, room=room, participant=participant, before=before, dry_run=dry_run)
    if as_json:
        click.echo(msgspec.json.encode(erased))
        return 0
    click.echo(f"{'would erase' if dry_run else 'erased'} {_told(erased)}")
    if erased.events and erased.receivers:
        write_stderr(f"not erased: what these webhook receivers have got: {', '.join(erased.receivers)}")
    if erased.agent_logs:
        write_stderr(f"not erased: the logs of agents in {erased.agent_logs}; docs/privacy.md says how to empty them")
    return 0


def _told(counts: Erased) -> str:
    files = f", {plural(counts.lines, 'line')} in {plural(counts.files, 'forwarded file')}" if counts.lines else ""
    return f"{plural(counts.events, 'event')} of {plural(counts.sessions, 'session')} ({counts.bytes} bytes{files})"
