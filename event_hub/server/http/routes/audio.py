"""`/api/sessions/<id>/audio…`: the recording of a session, its waveform, and where its utterances are in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

import msgspec
from flask import Response, request
from werkzeug.http import parse_range_header

from ....sessions import captions
from ...cooperate import cooperatively
from ...errors import RequestError
from ...hub import EventHub
from ...recordings import alignment
from ...recordings.jobs import Audio, Job
from ..queries import parse
from ..recording_queries import PeaksQuery, WavQuery
from ..session_queries import SessionQuery
from .sessions import found as found_session
from .sessions import reader
from .traces import job_of, kept_of, was_uploaded

_PIECE = 64 << 10
_CHANNELS = {"user": alignment.USER, "agent": alignment.AGENT}


def audio(hub: EventHub, id: str) -> Response:
    """The recording: OGG Opus, channel 0 the user, channel 1 the agent. With Range, ETag and HEAD."""
    job = job_of(hub, id, parse(SessionQuery, request.args))
    kept = _audio_of(job, id)
    path = hub.recordings.audio_path(job.job)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise RequestError("no_recording", f"the recording of session {id[:256]} was erased") from None
    except OSError as error:
        raise RequestError("recordings_unavailable", f"{path}: {error.strerror}") from None
    size = os.fstat(file.fileno()).st_size
    response = Response(mimetype="audio/ogg", headers=_headers(kept, "audio"))
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Content-Disposition"] = f'inline; filename="{path.name}"'
    begin, end = _range(size, response)
    response.headers["Content-Length"] = str(end - begin)
    pieces = _Pieces(file, begin, end)
    response.response = pieces
    response.call_on_close(pieces.close)
    response.make_conditional(request)
    return response


def wav(hub: EventHub, id: str) -> Response:
    """One channel of the recording as WAV."""
    query = parse(WavQuery, request.args)
    job = job_of(hub, id, query)
    kept = _audio_of(job, id)
    channel = _CHANNELS[query.channel]
    if channel >= kept.channels:
        raise RequestError("no_recording", f"the recording of session {id[:256]} has one channel: ask for channel=user")
    size, pieces = hub.recordings.decoding.wav(job.job, channel, kept)
    response = Response(pieces, mimetype="audio/wav", headers={"Cache-Control": "no-store"})
    response.headers["Content-Length"] = str(size)
    response.headers["Content-Disposition"] = f'attachment; filename="{query.channel}.wav"'
    return response


def peaks(hub: EventHub, id: str) -> Response:
    """The waveform: the peaks of each channel, from 0 to 1, at most `points` of them."""
    query = parse(PeaksQuery, request.args)
    job = job_of(hub, id, query)
    kept = _audio_of(job, id)
    levels = hub.recordings.decoding.levels(job.job)
    channels = [[round(peak / 255, 3) for peak in levels.peaks(c, query.points)] for c in range(levels.channels)]
    duration = round(kept.duration, 3)
    rate = round(len(channels[0]) / kept.duration, 3) if kept.duration else 0.0
    answer = {"duration": duration, "channels": levels.channels, "per_second": rate, "peaks": channels}
    headers = _headers(kept, f"peaks-{query.points}")
    response = Response(msgspec.json.encode(answer) + b"\n", mimetype="application/json", headers=headers)
    response.make_conditional(request)
    return response


def marks(hub: EventHub, id: str) -> Response:
    """Where each utterance is in the recording: as its events say, and where it is first heard."""
    with found_session(hub, id, parse(SessionQuery, request.args)) as (session, _):
        job, uploaded, events = session.job, was_uploaded(session), reader(hub).spoken(session)
    kept = _audio_of(kept_of(hub, id, job, uploaded), id)
    if kept.started is None or job is None:
        raise RequestError("no_recording", f"the recording of session {id[:256]} does not say when it began")
    levels = hub.recordings.decoding.levels(job)
    speech = captions.captions(cooperatively(events)).speech()
    listed = list(cooperatively(alignment.marks(speech, kept.started, levels)))
    answer = {"started": kept.started, "duration": round(kept.duration, 3), "marks": listed}
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(answer) + b"\n", mimetype="application/json", headers=headers)


def _audio_of(job: Job, id: str) -> Audio:
    if job.audio is None:
        raise RequestError("no_recording", f"no recording of session {id[:256]} was uploaded")
    return job.audio


def _headers(kept: Audio, what: str) -> dict[str, str]:
    """A recording never changes, but it can be erased, and it is not for everyone."""
    return {"ETag": f'"{kept.digest}-{what}"', "Cache-Control": "private, no-cache"}


def _range(size: int, response: Response) -> tuple[int, int]:
    """First byte and the byte after the last one to send; sets the status. Several ranges give the whole file."""
    header, condition = request.headers.get("Range"), request.headers.get("If-Range")
    if header is None or (condition is not None and condition.strip() != response.headers["ETag"]):
        return 0, size
    wanted = parse_range_header(header)
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return 0, size
    first, _ = wanted.ranges[0]
    if first is not None and first < -size:
        return 0, size  # more than there is, counted from the end
    found = wanted.range_for_length(size)
    if found is None:
        response.status_code = 416
        response.headers["Content-Range"] = f"bytes */{size}"
        return 0, 0
    response.status_code = 206
    response.headers["Content-Range"] = f"bytes {found[0]}-{found[1] - 1}/{size}"
    return found[0], found[1]


class _Pieces:
    """A part of a file."""

    def __init__(self, file: BinaryIO, begin: int, end: int) -> None:
        self._file = file
        self._left = end - begin
        file.seek(begin)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self._file.read(min(_PIECE, self._left)) if self._left else b""
        if not piece:
            raise StopIteration
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._file.close()
