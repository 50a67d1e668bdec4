"""Which publisher a session uses, and with which credential: a LiveKit job already has one, its token."""

from __future__ import annotations

import time

from livekit.agents import JobContext, JobExecutorType

from ..client import Publisher
from ..client.credentials import Credential, from_environment, from_livekit
from ..client.livekit_token import expiry
from . import process

_PUBLISHER = "event_hub_publisher"
_MARGIN = 10.0
"""Seconds before its expiry from which a token is no longer sent."""


class JobCredential(Credential):
    """The token with which the job joined its room, and which allows to publish to that room. LiveKit's server renews it
    while the agent is in the room. Once it has expired, a token made from LIVEKIT_API_KEY and LIVEKIT_API_SECRET, if they
    are set."""

    source = "the job's LiveKit token"
    publishing_only = True
    livekit = True

    def __init__(self, job: JobContext) -> None:
        self._token = _token(job)
        self._room = job.room
        self._made = from_livekit(job.job.room.name)
        self._refused: set[str] = set()

    def bearer(self) -> str | None:
        known = self._known()
        usable = [token for token in known if token not in self._refused and _expires(token) > time.time() + _MARGIN]
        if not usable and self._made:
            return self._made.bearer()
        return max(usable or known, key=_expires)

    def renewed(self, refused: str | None) -> str | None:
        """LiveKit's server renews tokens with the first of its API keys, which need not be the hub's: then the job's
        original token is still good."""
        known = self._known()
        if refused in known:
            self._refused = {refused, *self._refused.intersection(known)}
        return super().renewed(refused)

    def _known(self) -> list[str]:
        renewed = getattr(self._room, "_token", None)  # there is no public way to get it
        return [token for token in (renewed, self._token) if isinstance(token, str) and token]


def publisher_for(job: JobContext | None, room: str | None) -> Publisher:
    """The publisher for a session that is reported under `room` (None: the job's).

    It is the process's, with HUB_KEY if that is set. Otherwise a job with a token has a publisher of its own, which
    publishes with that token to the job's room only. Raises ValueError if HUB_URL or HUB_KEY is invalid.
    """
    if job is None or from_environment() or expiry(_token(job)) is None or room not in (None, job.job.room.name):
        return process.publisher()
    found = vars(job).get(_PUBLISHER)
    if not isinstance(found, Publisher):
        # The room is that of the reports of dropped events; other events have their own.
        found = Publisher(key=JobCredential(job), defaults={"room": job.job.room.name})
        vars(job)[_PUBLISHER] = found
    return found


def ends_with(job: JobContext, publisher: Publisher) -> bool:
    """Whether the publisher is the job's own and its process goes on to run other jobs."""
    return vars(job).get(_PUBLISHER) is publisher and job.proc.executor_type is JobExecutorType.THREAD


def _expires(token: str) -> float:
    return expiry(token) or 0.0


def _token(job: JobContext) -> str:
    token = getattr(getattr(job, "_info", None), "token", "")  # there is no public way to get it
    return token if isinstance(token, str) else ""
