"""What is known of one job. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec


class Audio(msgspec.Struct, omit_defaults=True):
    """What is known of a recording. `started`: when its first sample was taken, in epoch seconds; None: not known."""

    duration: float
    channels: int
    bytes: int
    digest: str
    started: float | None = None


class Job(NamedTuple):
    """One job, as it is kept. `report`: the session summary of its recording; `chat`: the items of its chat history, in
    JSON. `over`: it has ended. `told`: its session is told from its uploads, because no events of it came.
    `began`, `changed`: when its first and its newest upload came, in epoch seconds."""

    job: str
    room_sid: str | None
    agent_name: str | None
    room: str | None
    session: str | None
    began: float
    changed: float
    over: bool
    told: int
    pending: int
    report: dict[str, Any] | None
    chat: list[dict[str, Any]] | None
    audio: Audio | None


def job_of(row: Sequence[Any]) -> Job:
    """A row of the store as a `Job`."""
    job = Job(*row)
    return job._replace(
        over=bool(job.over),
        report=msgspec.json.decode(row[10]) if row[10] else None,
        chat=msgspec.json.decode(row[11]) if row[11] else None,
        audio=msgspec.json.decode(row[12], type=Audio) if row[12] else None,
    )
