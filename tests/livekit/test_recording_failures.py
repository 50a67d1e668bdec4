"""Calls over a real LiveKit server whose recording does not reach the hub, or is that of one session of several: the call
goes on, and the hub shows what it has (issue 18)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import requests

from ..hubs import PATIENCE, until
from .cutting_proxy import CuttingProxy
from .line import Line
from .speech import overlap
from .test_recordings import ASKED, agent, converse, session_in, words_of

Open = Callable[..., Line]
SOME = 100_000
"""Bytes: half of a recording, and more than the hub reads at once, so that it has written some."""


def sessions(line: Line, room: str) -> list[dict[str, Any]]:
    listed = requests.get(f"{line.hub.url}/api/sessions", params={"room": room}, timeout=PATIENCE).json()["sessions"]
    return [line.hub.get(f"/api/sessions/{session['id']}") for session in listed]


def ended(line: Line, room: str) -> dict[str, Any]:
    """The one session of a room, once it has ended."""

    def found() -> dict[str, Any] | None:
        (session,) = sessions(line, room) or [None]
        return session if session is not None and session["status"] == "ended" else None

    result: dict[str, Any] = until(found, f"the end of {room}", 4 * PATIENCE)
    return result


def refused(line: Line) -> float:
    """Uploads that the hub has refused because it keeps none."""
    return line.hub.metrics().get("hub_requests_refused_total{recording_disabled}", 0)


def agent_log(line: Line) -> str:
    return (line.folder / "recorded_agent.log").read_text(errors="replace")


def test_a_hub_that_keeps_no_recordings_stops_the_uploads_and_not_the_call(open_line: Open) -> None:
    """HUB_RECORDINGS=off is LiveKit's polite no: each exporter of the job asks once, and its log has no error."""
    line = open_line(HUB_RECORDINGS="off")
    with agent(line, LIVEKIT_OBSERVABILITY_URL=line.hub.url, RECORDED_ATTACH="1"):
        converse(line, "off")
        session = ended(line, "off")
    assert overlap(ASKED, words_of(session)[1][1]) >= 0.6
    assert len(words_of(session)) == 3
    assert (session["recording"], session["trace"]) == (None, None)
    assert 1 <= refused(line) <= 3, "logs, traces and metrics, each at most once; the recording is not even sent"
    assert not re.search(r"ERROR|Traceback|recording upload failed", agent_log(line))


def test_of_two_sessions_of_a_job_the_first_has_the_recording(open_line: Open) -> None:
    """LiveKit records the first one alone; the spans of both are one trace."""
    line = open_line()
    with agent(line, LIVEKIT_OBSERVABILITY_URL=line.hub.url, RECORDED_ATTACH="1", RECORDED_SECOND="1"):
        converse(line, "two")

        def both() -> list[dict[str, Any]] | None:
            found = sessions(line, "two")
            complete = [s for s in found if s["recording"] and s["trace"] and s["trace"]["complete"]]
            return found if complete and len(found) == 2 and all(s["status"] == "ended" for s in found) else None

        found = until(both, "both sessions and the recording", 4 * PATIENCE)
    (heard,) = [session for session in found if session["recording"]]
    (other,) = [session for session in found if session is not heard]
    assert heard["mode"] == "room"
    assert overlap(ASKED, words_of(heard)[1][1]) >= 0.6
    assert heard["job"] is not None
    assert (other["mode"], other["job"], other["recording"], other["trace"]) == ("text", None, None, None)
    assert any("boston" in words.lower() for _, words in words_of(other))
    for path in ("audio", "trace"):
        answer = requests.get(f"{line.hub.url}/api/sessions/{other['id']}/{path}", timeout=PATIENCE)
        assert answer.status_code == 404, path
    spans = line.hub.get(heard["trace"]["url"])["spans"]
    assert [span["name"] for span in spans].count("agent_session") == 2


def test_a_hub_killed_within_the_upload_serves_no_half_recording(open_line: Open) -> None:
    """kill -9 when some of the recording has arrived. LiveKit does not repeat it: it repeats connections that fail only. The
    session is whole without it, and the next call is recorded."""
    line = open_line()
    recordings = line.folder / "recordings"

    def kill() -> None:
        until(lambda: list(recordings.glob("incoming/*.part")), "the beginning of the recording")
        line.hub.kill()
        line.hub.start()

    with (
        CuttingProxy(line.hub.port, "/observability/recordings", SOME, kill) as proxy,
        agent(line, LIVEKIT_OBSERVABILITY_URL=proxy.url, RECORDED_ATTACH="1"),
    ):
        converse(line, "cut")
        assert proxy.done.wait(4 * PATIENCE), "the upload"
        session = ended(line, "cut")
        assert [role for role, _ in words_of(session)] == ["agent", "user", "agent"]
        assert session["recording"] is None
        answer = requests.get(f"{line.hub.url}/api/sessions/{session['id']}/audio", timeout=PATIENCE)
        assert answer.status_code == 404
        assert not list(recordings.glob("audio/*"))
        converse(line, "next")
        assert session_in(line, "next")["recording"]["duration"] > 3
        assert list(recordings.glob("audio/*.ogg"))
        until(lambda: ended(line, "cut")["trace"], "the trace of the first call", 2 * PATIENCE)
