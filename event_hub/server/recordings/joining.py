"""Joins what was uploaded with the sessions that the stream tells of.

A job's uploads belong to the session whose `session_started` names the job. If there is none, because the agent does not use
`attach`, the session is told from the uploads once they are complete.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from filelock import FileLock, Timeout

from . import afterwards
from .jobs import Job
from .spans import Span
from .store import Store

logger = logging.getLogger(__name__)

WAIT = 10.0
"""Seconds without an upload, after a recording or the end of a job, until a session that no event told of is told from its
uploads: `attach` may have been cut off from the hub, and delivers its events when it is back."""
LOST = 15 * 60.0
"""The same for a job that has not ended: its process was killed."""
_TOLD, _TRACE, _WHOLE_TRACE, _AUDIO = 1, 2, 4, 8
"""What has been told of a job, as bits."""
_BATCH = 1_000

_decode_span: Callable[[bytes], Span] = msgspec.json.Decoder(Span).decode


class Found(NamedTuple):
    """The session of a job."""

    room: str | None
    session: str | None
    id: str


class Joining:
    """One step of the join at a time. Of the processes that share a folder, the one that holds its lock joins."""

    def __init__(
        self,
        store: Store,
        publish: Callable[[list[dict[str, Any]]], object],
        session_of: Callable[[str], Found | None],
        clock: Callable[[], float],
        *,
        wait: float = WAIT,
        lost: float = LOST,
    ) -> None:
        """`publish`: raises if events cannot be stored. `session_of`: finds the session of a job."""
        self._store = store
        self._publish = publish
        self._session_of = session_of
        self._clock = clock
        self._wait = wait
        self._lost = lost
        self._lock: FileLock | None = None

    def step(self) -> None:
        """Join what can be joined now; raises `StoreError`, or what `publish` raises: the next step tries again."""
        if not self._store.exists or not self._responsible(self._store.folder):
            return
        for job in self._store.pending():
            self._join(job)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _responsible(self, folder: Path) -> bool:
        if self._lock is None:
            lock = FileLock(folder / "joining.lock", thread_local=False, mode=0o600)
            try:
                lock.acquire(timeout=0)
            except (Timeout, OSError):
                return False
            self._lock = lock
        return True

    def _join(self, job: Job) -> None:
        found = self._session_of(job.job)
        if found is None and not job.told & _TOLD:
            if not self._is_due(job):
                return
            spans = [_decode_span(data) for data in self._store.spans(job.job)]
            events = afterwards.events_of(job, spans)
            for begin in range(0, len(events), _BATCH):
                self._publish(events[begin : begin + _BATCH])
            job = job._replace(told=job.told | _TOLD)
            room, session = afterwards.room_of(job), afterwards.session_of(job)
            self._store.mark(job.job, told=job.told, room=room, session=session)
            found = Found(room, session, session)
        if found is None:  # told before, and erased since
            self._store.settle(job)
            return
        told = job.told
        for bit, event in self._news(job, found):
            self._publish([event])
            told |= bit
        self._store.mark(job.job, told=told, room=found.room, session=found.session)
        self._store.settle(job)

    def _is_due(self, job: Job) -> bool:
        quiet = self._clock() - job.changed
        return quiet >= (self._wait if job.over or job.report is not None else self._lost)

    def _news(self, job: Job, found: Found) -> Iterator[tuple[int, dict[str, Any]]]:
        """What has not been told yet of the job's recording and trace."""
        url = f"/api/sessions/{quote(found.id, safe='')}"
        common = {"room": found.room, "session": found.session, "job": job.job}
        common = {name: value for name, value in common.items() if value is not None}
        if job.audio is not None and not job.told & _AUDIO:
            audio = job.audio
            event = {"type": "recording_available", **common, "duration": round(audio.duration, 3)}
            event |= {"channels": audio.channels, "url": f"{url}/audio", "event_id": f"recording-{job.job[:110]}"}
            if audio.started is not None:
                event["started"] = audio.started
            yield _AUDIO, event
        bit = _WHOLE_TRACE if job.over else _TRACE
        if not job.told & (bit | _WHOLE_TRACE) and next(self._store.spans(job.job), None) is not None:
            id = f"trace-{'whole' if job.over else 'begun'}-{job.job[:100]}"
            yield (
                bit,
                {"type": "trace_available", **common, "complete": job.over, "url": f"{url}/trace", "event_id": id},
            )
