"""`event-hub sessions`: what the events add up to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import click
import msgspec

from ..client import Hub
from .ending import command_body, say
from .options import SETTINGS, checked, count, hub_options
from .plain import plain, plain_json, width
from .pretty import LATENCIES, clock, day, duration

_EPILOG = """\b
Examples:
  event-hub sessions                             # the newest 20
  event-hub sessions --status live --room 'support-*'
  event-hub sessions --since 24h --most 1000 --json | jq .latency.e2e_latency
  event-hub sessions AS_38a9aaf739ce             # its turns, and where their time went
  event-hub sessions AS_38a9aaf739ce --json | jq .turns

\b
Exit codes:
  0    what there is was shown   1    the hub has refused, or there is no such session
  2    wrong options             3    the hub does not answer, or it is no hub
  130  Ctrl-C                    143  SIGTERM

What a session is, and what its figures mean: docs/sessions.md.
"""
_HEADS = ("status", "began", "lasted", "turns", "waited", "room", "session")
_RIGHT = frozenset({"lasted", "turns", "waited"})


@click.command("sessions", context_settings=SETTINGS, epilog=_EPILOG, short_help="List the sessions, or show one.")
@click.argument("session", required=False)
@hub_options
@click.option("--room", "rooms", multiple=True, metavar="GLOB", help="Only of this room; repeat it for more.")
@click.option("--status", type=click.Choice(["live", "ended"]), help="Only those that go on, or that have ended.")
@click.option("--since", default="", metavar="WHEN", help="Only those with an event since: 24h, epoch seconds, an id.")
@click.option("--most", "-n", type=click.IntRange(1), default=20, show_default=True, help="List so many, the newest.")
@click.option("--json", "as_json", is_flag=True, help="As the hub has them: one on a line, or all of the one.")
@command_body
def command(
    url: str,
    key: str | None,
    session: str | None,
    rooms: tuple[str, ...],
    status: Literal["live", "ended"] | None,
    since: str,
    most: int,
    as_json: bool,
) -> int:
    """List the sessions, those with the newest events first; or show SESSION: its turns, who said what, how long the
    caller waited for each answer, and where that time went.

    waited: the median of all turns, from the end of the user's speech until the agent was heard.
    """
    if session is not None and (status or since or len(rooms) > 1):
        raise click.UsageError(
            "one SESSION is shown as a whole: only --room (which one), --json, --hub and --key go with it."
        )
    with checked(lambda: Hub(url, key=key, timeout=60.0)) as hub:
        if session is not None:
            one = hub.session(session, room=rooms[0] if rooms else None)
            _write([_json(one)] if as_json else _shown(one))
            return 0
        listed = list(islice(hub.sessions(room=rooms, status=status, since=since, page=min(most + 1, 200)), most + 1))
    more = len(listed) > most
    _write([_json(one) for one in listed[:most]] if as_json else _table(listed[:most]))
    if not listed:
        say("no sessions" if rooms or status or since else "no sessions yet")
    elif more:
        say(f"the newest {most}; --most has more")
    return 0


def _write(lines: Iterator[str] | list[str]) -> None:
    out = sys.stdout
    out.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    for line in lines:
        out.write(line.rstrip() + "\n")
    out.flush()


def _json(value: dict[str, Any]) -> str:
    text = msgspec.json.encode(value).decode()
    return plain_json(text) if sys.stdout.isatty() else text


# -- the list ----------------------------------------------------------------------------------------------------------


def _table(sessions: list[dict[str, Any]]) -> Iterator[str]:
    rows = [_HEADS, *map(_row, sessions)] if sessions else []
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(
            " " * (wide - width(cell)) + cell if head in _RIGHT else cell + " " * (wide - width(cell))
            for head, cell, wide in zip(_HEADS, row, widths, strict=True)
        )


def _row(session: dict[str, Any]) -> tuple[str, ...]:
    return (
        _status(session),
        _moment(session.get("started")),
        _lasted(session.get("duration")),
        str(_counts(session).get("turns", "")),
        duration(_waited(session).get("median")),
        plain(session.get("room") or ""),
        plain(session.get("id") or ""),
    )


def _status(session: dict[str, Any]) -> str:
    """`ended`, `live`, `speaking`: of a live one what its agent does, where that is known."""
    doing = (session.get("state") or {}).get("agent")
    return plain(str(doing)) if doing and session.get("status") == "live" else plain(str(session.get("status")))


def _moment(timestamp: Any) -> str:
    return f"{day(timestamp)} {clock(timestamp)[:8]}" if day(timestamp) else ""


def _lasted(seconds: Any) -> str:
    """`0:24`, `1:02:13`."""
    if not isinstance(seconds, int | float):
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _counts(session: dict[str, Any]) -> dict[str, Any]:
    return session.get("counts") or {}


def _waited(session: dict[str, Any]) -> dict[str, Any]:
    """LiveKit's figure, or else what the events say themselves."""
    latency = session.get("latency") or {}
    return latency.get("e2e_latency") or latency.get("response_time") or {}


# -- one of them -------------------------------------------------------------------------------------------------------


def _shown(session: dict[str, Any]) -> Iterator[str]:
    yield plain(
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
    yield "  ".join(filter(None, (_moment(session.get("started")), _lasted(session.get("duration")))))
    yield " · ".join(
        count(number, _NOUNS[name]) for name, number in _counts(session).items() if number and name in _NOUNS
    )
    waited = _waited(session)
    if waited:
        figures = (f"{name} {duration(waited.get(name))}" for name in ("median", "p95", "max"))
        yield f"waited: {', '.join(figures)} ({waited.get('count')} measured)"
    for turn in session.get("turns") or ():
        yield ""
        yield from _turn(turn)
    forgotten = (session.get("forgotten") or {}).get("turns")
    if forgotten:
        yield ""
        yield f"({count(forgotten, 'turn')} before these: see event-hub export)"


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


def _turn(turn: dict[str, Any]) -> Iterator[str]:
    number = str(turn.get("number"))
    yield f"{number:>3}  {clock(turn.get('began'))[:8]}  {_sum(turn.get('latency') or {})}"
    user, agent = turn.get("user") or {}, turn.get("agent") or {}
    if user.get("text"):
        yield _said("user", user["text"] + ("" if user.get("final", True) else " …"))
    for tool in turn.get("tools") or ():
        took = duration(tool.get("duration"))
        failed = "failed" if tool.get("is_error") else ""
        yield _said("tool", ", ".join(filter(None, (str(tool.get("name") or tool.get("call_id")), failed, took))))
    if agent.get("text"):
        yield _said("agent", agent["text"] + (" — cut off" if agent.get("interrupted") else ""))
    if turn.get("errors"):
        yield _said("error", count(turn["errors"], "error"))


def _said(who: str, text: str) -> str:
    return f"     {who:<5}  {plain(text)}"


def _sum(latency: dict[str, Any]) -> str:
    """`1.7 s = end of turn 501 ms + LLM 352 ms + unaccounted 400 ms`; without what took no millisecond."""
    named = [(part["name"], part["seconds"]) for part in latency.get("parts") or ()]
    left = latency.get("unaccounted")
    named += [("unaccounted", left)] if left else []
    parts = [f"{LATENCIES.get(name, name)} {duration(seconds)}" for name, seconds in named if round(seconds, 3)]
    text = " = ".join(filter(None, (duration(latency.get("total")), " + ".join(parts))))
    overlap = latency.get("overlap")
    return plain(f"{text} − overlap {duration(overlap)}" if overlap and round(overlap, 3) else text)
