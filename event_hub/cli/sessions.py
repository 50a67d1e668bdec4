"""`event-hub sessions`: list the sessions, or show one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import click
import msgspec

from ..client import Hub
from .describe import LATENCIES, clock, day, duration
from .exits import with_exit_code, write_stderr
from .options import CONTEXT_SETTINGS, hub_options, or_usage_error, plural
from .terminal_text import escape, escape_json, width

_EPILOG = """\b
Examples:
  event-hub sessions                             # the 20 most recently active
  event-hub sessions --status live --room 'support-*'
  event-hub sessions --slow 2s --has error       # in which the user waited long, and something failed
  event-hub sessions -q refund                   # in which these words were said
  event-hub sessions --since 24h --most 1000 --json | jq .latency.e2e_latency
  event-hub sessions AS_38a9aaf739ce             # its turns, with their latencies
  event-hub sessions AS_38a9aaf739ce --json | jq .turns

\b
Exit codes:
  0    success
  1    the hub refused the request, or the session does not exist
  2    invalid options
  3    no response, or not from a hub
  130  Ctrl-C                   143  SIGTERM

docs/sessions.md explains sessions and their figures.
"""
_HEADERS = ("status", "started", "duration", "turns", "response", "room", "session")
_MARKS = {0xE000: "»", 0xE001: "«"}
_RIGHT_ALIGNED = frozenset({"duration", "turns", "response"})


@click.command(
    "sessions", context_settings=CONTEXT_SETTINGS, epilog=_EPILOG, short_help="List the sessions, or show one."
)
@click.argument("session", required=False)
@hub_options
@click.option("--room", "rooms", multiple=True, metavar="GLOB", help="Only sessions of this room. Repeatable.")
@click.option("--agent", "agents", multiple=True, metavar="GLOB", help="Only sessions of this agent. Repeatable.")
@click.option("--status", type=click.Choice(["live", "silent", "ended"]), help="Only sessions with this status.")
@click.option("-q", "--words", default="", metavar="WORDS", help="Only sessions in which these words were said.")
@click.option(
    "--has",
    multiple=True,
    type=click.Choice(["error", "tool_error", "interruption", "recording", "note"]),
    help="Only sessions with at least one of these. Repeatable.",
)
@click.option("--slow", default="", metavar="TIME", help="Only sessions in which the user waited this long: 2s, 800ms.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only sessions with this tag. Repeatable.")
@click.option(
    "--sort",
    type=click.Choice(["updated", "started", "duration", "turns", "slowest", "errors"]),
    default="updated",
    show_default=True,
    help="The largest value first.",
)
@click.option(
    "--since", default="", metavar="WHEN", help="Only sessions with an event since: 24h, epoch seconds, an id."
)
@click.option(
    "--most",
    "-n",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Maximum number of sessions.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON as the hub sends it, one session per line.")
@with_exit_code
def command(
    url: str,
    key: str | None,
    session: str | None,
    rooms: tuple[str, ...],
    agents: tuple[str, ...],
    status: Literal["live", "silent", "ended"] | None,
    words: str,
    has: tuple[str, ...],
    slow: str,
    tags: tuple[str, ...],
    sort: str,
    since: str,
    most: int,
    as_json: bool,
) -> int:
    """List the sessions, most recently active first; or show SESSION: its turns, what was said, the response times and
    their parts.

    response: the median response time, from the end of the user's speech to the start of the agent's.
    """
    others = bool(agents or status or words or has or slow or tags or since or sort != "updated")
    if session is not None and (others or len(rooms) > 1):
        raise click.UsageError("SESSION can only be combined with a single --room, --json, --hub and --key.")
    with or_usage_error(lambda: Hub(url, key=key, timeout=60.0)) as hub:
        if session is not None:
            details = hub.session(session, room=rooms[0] if rooms else None)
            _print([_json(details)] if as_json else _details(details))
            return 0
        matching = hub.sessions(
            room=rooms, status=status, since=since, words=words, agent=agents, tag=tags, has=has, slow=slow, sort=sort,
            page=min(most + 1, 200),
        )  # fmt: skip
        found = list(islice(matching, most + 1))
    more = len(found) > most
    _print([_json(summary) for summary in found[:most]] if as_json else _table(found[:most]))
    if not found:
        write_stderr("no matching sessions" if rooms or others else "no sessions yet")
    elif more:
        write_stderr(f"only the newest {most} are shown; --most N shows more")
    return 0


def _print(lines: Iterator[str] | list[str]) -> None:
    out = sys.stdout
    out.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for line in lines:
        out.write(line.rstrip() + "\n")
    out.flush()


def _json(value: dict[str, Any]) -> str:
    text = msgspec.json.encode(value).decode()
    return escape_json(text) if sys.stdout.isatty() else text


# -- the list ----------------------------------------------------------------------------------------------------------


def _table(sessions: list[dict[str, Any]]) -> Iterator[str]:
    rows = [_HEADERS, *map(_row, sessions)] if sessions else []
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        yield "  ".join(
            " " * (columns - width(cell)) + cell if header in _RIGHT_ALIGNED else cell + " " * (columns - width(cell))
            for header, cell, columns in zip(_HEADERS, row, widths, strict=True)
        )
        for match in (sessions[number - 1].get("matches") or ()) if number else ():
            said = str(match.get("text")).translate(_MARKS)
            yield f"     turn {match.get('turn') or '?'}, {escape(str(match.get('role')))}: {escape(said)}"


def _row(session: dict[str, Any]) -> tuple[str, ...]:
    return (
        _status(session),
        _moment(session.get("started")),
        _minutes(session.get("duration")),
        str(_counts(session).get("turns", "")),
        duration(_response_time(session).get("median")),
        escape(session.get("room") or ""),
        escape(session.get("id") or ""),
    )


def _status(session: dict[str, Any]) -> str:
    """`ended` or `live`; for a live session the state of its agent, such as `speaking`, if it is known."""
    state = (session.get("state") or {}).get("agent")
    return escape(str(state)) if state and session.get("status") == "live" else escape(str(session.get("status")))


def _moment(timestamp: Any) -> str:
    return f"{day(timestamp)} {clock(timestamp)[:8]}" if day(timestamp) else ""


def _minutes(seconds: Any) -> str:
    """`0:24`, `1:02:13`."""
    if not isinstance(seconds, int | float):
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _counts(session: dict[str, Any]) -> dict[str, Any]:
    return session.get("counts") or {}


def _response_time(session: dict[str, Any]) -> dict[str, Any]:
    """LiveKit's figures, or else those derived from the events."""
    latency = session.get("latency") or {}
    return latency.get("e2e_latency") or latency.get("response_time") or {}


# -- one session -------------------------------------------------------------------------------------------------------


def _details(session: dict[str, Any]) -> Iterator[str]:
    yield escape(
        f"{session['id']}: "
        + ", ".join(
            filter(
                None,
                (
                    f"room {session['room']}" if session.get("room") else "",
                    f"agent {session['agent']}" if session.get("agent") else "",
                    str(session.get("status")),
                    f"agent {_status(session)}" if _status(session) not in ("live", "ended") else "",
                    session.get("reason") or "",
                ),
            )
        )
    )
    yield "  ".join(filter(None, (_moment(session.get("started")), _minutes(session.get("duration")))))
    yield " · ".join(
        plural(number, _NOUNS[name]) for name, number in _counts(session).items() if number and name in _NOUNS
    )
    response_time = _response_time(session)
    if response_time:
        figures = (f"{name} {duration(response_time.get(name))}" for name in ("median", "p95", "max"))
        yield f"response: {', '.join(figures)} ({response_time.get('count')} measured)"
    for turn in session.get("turns") or ():
        yield ""
        yield from _turn(turn)
    forgotten = (session.get("forgotten") or {}).get("turns")
    if forgotten:
        yield ""
        yield f"({plural(forgotten, 'earlier turn')} not shown: see event-hub export)"


_NOUNS = {
    "turns": "turn",
    "events": "event",
    "interruptions": "interruption",
    "tool_calls": "tool call",
    "tool_errors": "tool error",
    "handoffs": "handoff",
    "errors": "error",
    "events_dropped": "dropped event",
}


_LEFT_OUT = {"tools": "tool call", "replies": "answer", "utterances": "utterance"}


def _turn(turn: dict[str, Any]) -> Iterator[str]:
    number = str(turn.get("number"))
    yield f"{number:>3}  {clock(turn.get('began'))[:8]}  {_latency_sum(turn.get('latency') or {})}"
    user, agent = turn.get("user") or {}, turn.get("agent") or {}
    if user.get("text"):
        yield _turn_line("user", user["text"] + ("" if user.get("final", True) else " …"))
    for tool in turn.get("tools") or ():
        elapsed = duration(tool.get("duration"))
        failed = "failed" if tool.get("is_error") else ""
        name = str(tool.get("name") or tool.get("call_id"))
        yield _turn_line("tool", ", ".join(filter(None, (name, failed, elapsed))))
    if agent.get("text"):
        yield _turn_line("agent", agent["text"] + (" — cut off" if agent.get("interrupted") else ""))
    if turn.get("errors"):
        yield _turn_line("error", plural(turn["errors"], "error"))
    if left_out := turn.get("left_out"):
        counts = (plural(number, _LEFT_OUT.get(name, name)) for name, number in left_out.items())
        yield _turn_line("", f"({', '.join(counts)} left out)")


def _turn_line(label: str, text: str) -> str:
    return f"     {label:<5}  {escape(text)}"


def _latency_sum(latency: dict[str, Any]) -> str:
    """`1.7 s = end of turn 501 ms + LLM 352 ms + unaccounted 400 ms`, without parts below a millisecond."""
    parts = [(part["name"], part["seconds"]) for part in latency.get("parts") or ()]
    unaccounted = latency.get("unaccounted")
    parts += [("unaccounted", unaccounted)] if unaccounted else []
    shown = [f"{LATENCIES.get(name, name)} {duration(seconds)}" for name, seconds in parts if round(seconds, 3)]
    text = " = ".join(filter(None, (duration(latency.get("total")), " + ".join(shown))))
    overlap = latency.get("overlap")
    return escape(f"{text} − overlap {duration(overlap)}" if overlap and round(overlap, 3) else text)
