"""`/api/sessions/<id>/trace` and `/logs`: what the agent of a session uploaded, beside its events."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from flask import Response, request

from ....sessions import Session
from ...cooperate import cooperatively
from ...errors import RequestError
from ...hub import EventHub
from ...recordings.jobs import Job
from ...recordings.log_lines import LEVELS
from ...recordings.store_file import StoreError
from ..queries import parse
from ..recording_queries import SessionLogsQuery
from ..session_queries import SessionQuery
from .sessions import found as found_session

_NO_STORE = {"Cache-Control": "no-store"}


def job_of(hub: EventHub, id: str, query: SessionQuery) -> Job:
    """What is kept of the job of a session that the current request may see; raises `RequestError`."""
    with found_session(hub, id, query) as (session, _):
        job, uploaded = session.job, was_uploaded(session)
    return kept_of(hub, id, job, uploaded)


def was_uploaded(session: Session) -> bool:
    """Whether its events say that something of its job was uploaded, which may have been erased since."""
    return session.recording is not None or session.trace is not None


def kept_of(hub: EventHub, id: str, job: str | None, uploaded: bool) -> Job:
    """What is kept of the job of session `id`; raises `RequestError`. `uploaded`: as `was_uploaded` says."""
    try:
        kept = hub.recordings.store.job(job) if job is not None else None
    except StoreError as error:
        raise RequestError("recordings_unavailable", str(error)) from None
    if kept is None and uploaded:
        raise RequestError("no_recording", f"what the agent of session {id[:256]} uploaded was erased")
    if kept is None:
        raise RequestError(
            "no_recording",
            f"the agent of session {id[:256]} has uploaded nothing"
            + ("" if job is not None else ", and none of its events names a job"),
        )
    return kept


def trace(hub: EventHub, id: str) -> Response:
    """The spans of a session, earliest first. `complete`: its job has ended."""
    job = job_of(hub, id, parse(SessionQuery, request.args))
    head = msgspec.json.encode({"job": job.job, "room_sid": job.room_sid, "complete": job.over, "report": job.report})

    def pieces() -> Iterator[bytes]:
        yield head[:-1] + b',"spans":['
        for number, span in enumerate(cooperatively(hub.recordings.store.spans(job.job))):
            yield b"," + span if number else span
        yield b"]}\n"

    return Response(pieces(), 200, _NO_STORE, mimetype="application/json")


def logs(hub: EventHub, id: str) -> Response:
    """The log lines of a session's agent, oldest first."""
    query = parse(SessionLogsQuery, request.args)
    job = job_of(hub, id, query)
    found = hub.recordings.store.logs(job.job, LEVELS[query.level], query.after, query.limit + 1)
    listed = found[: query.limit]
    body = b'{"job":%b,"logs":[%b],"more":%b,"next":%b}\n' % (
        msgspec.json.encode(job.job),
        b",".join(data for _, data in listed),
        b"true" if len(found) > len(listed) else b"false",
        msgspec.json.encode(listed[-1][0] if listed else query.after),
    )
    return Response(body, 200, _NO_STORE, mimetype="application/json")
