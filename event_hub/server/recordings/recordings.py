"""Everything that agents upload to one hub: received, kept, joined with sessions, and erased in time."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ...sessions import Session
from ..erasure.selector import Selector
from ..errors import RequestError
from ..filters import Filter
from ..real_thread import in_real_thread
from ..settings import Settings
from . import chat_log, ogg, otlp
from .decoding import Decoding, levels_path
from .jobs import Audio, Job
from .joining import Found, Joining
from .store import Store
from .store_file import StoreError
from .upload import AUDIO, CHAT, HEADER, Upload, remove_leftovers

logger = logging.getLogger(__name__)

OFF = "off"
POLITE_NO = "data recording is disabled by the operator of this hub (HUB_RECORDINGS=off)"
"""LiveKit's exporters stop every upload of the session, silently, when the body of a 401 contains its first words."""
MOST_UNPACKED = 64 << 20
"""Bytes of an OTLP request without its compression: LiveKit's own limit."""
_EVERYTHING = "email,phone,card,iban"
_ROUND = 1.0
_RETENTION = 60.0
_LEFTOVER = 3600.0
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Recordings:
    """What is uploaded. `start` it before use, `stop` it at the end."""

    def __init__(
        self,
        settings: Settings,
        publish: Callable[[list[dict[str, Any]]], object],
        session_of: Callable[[str], Found | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`publish` and `session_of`: as for `Joining`."""
        self.enabled = settings.recordings != OFF
        self._settings = settings
        self._clock = clock
        self.folder = Path(settings.recordings if self.enabled else "var/recordings")
        self.store = Store(self.folder, clock)
        self._joining = Joining(self.store, publish, session_of, clock)
        self.decoding = Decoding(self.audio_path)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="hub-recordings", daemon=True)
        self._complaint = ""

    def start(self) -> None:
        if self.enabled:
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(5)
        self.decoding.stop()
        self._joining.close()
        self.store.close()

    # -- receiving: each raises `RequestError` -------------------------------------------------------------------------

    def take_spans(self, body: bytes, kind: str) -> None:
        """An ExportTraceServiceRequest, unpacked."""
        self._keep(lambda: self.store.add_spans(otlp.spans(body, kind, content=self._settings.trace_content)))

    def take_logs(self, body: bytes, kind: str) -> None:
        """An ExportLogsServiceRequest, unpacked: log lines, and items of chat histories."""
        lines: list[tuple[otlp.LogRecord, otlp.JobIds]] = []
        items: dict[str, list[dict[str, Any]]] = {}
        redact = self._redactor(always=False)
        for record, ids in otlp.logs(body, kind):
            if record.scope in chat_log.SCOPES:
                item = chat_log.item_of(record.attributes.get("chat.item"))
                if item is not None and ids.job is not None:
                    items.setdefault(ids.job, []).append(item)
                    lines.append((record._replace(scope=""), ids))
            else:
                if redact is not None and isinstance(record.body, str):
                    record = record._replace(body=redact(record.body))
                lines.append((record, ids))

        def keep() -> None:
            self.store.add_logs(lines, content=self._settings.trace_content)
            for job, found in items.items():
                self.store.add_chat_items(job, self._redacted(found, always=False) or [])

        self._keep(keep)

    def take_recording(self, content_type: str, pieces: Iterable[bytes]) -> bool:
        """The multipart body of one recording; returns whether it is new. Answer only after this returns: it is on disk."""
        from . import report  # livekit-protocol and protobuf, for those who record

        incoming = self.folder / "incoming"
        with self._disk(), Upload(incoming, in_real_thread) as upload:
            upload.receive(content_type, pieces)
            if HEADER not in upload.parts:
                raise RequestError("bad_body", "the body has no part `header`")
            header = report.parse(upload.parts[HEADER])
            chat = report.chat_items(upload.parts[CHAT]) if CHAT in upload.parts else None
            audio: Audio | None = None
            refused: ogg.OggError | None = None
            if upload.audio and not header.redacted:
                try:
                    audio = self._probe(upload, header.started)
                except ogg.OggError as error:
                    refused = error
            assert header.ids.job is not None
            job = header.ids.job
            known = self.store.job(job)
            is_new = known is None or known.report is None or (known.audio is None and audio is not None)
            if is_new and audio is not None:
                upload.keep(self.audio_path(job))
            chat = self._redacted(chat, always=header.redacted)
            self.store.add_recording(header.ids, header.room, header.report, chat, audio)
            if is_new and audio is not None:
                self.decoding.want(job)
            if refused is not None:
                raise RequestError("bad_recording", f"the part {AUDIO} is not OGG Opus: {refused}. The rest was kept")
        return is_new

    def _probe(self, upload: Upload, started: float | None) -> Audio:
        found = ogg.probe(upload.path)
        return Audio(found.duration, found.channels, upload.audio, upload.digest, started)

    def _redactor(self, *, always: bool) -> Callable[[str], str] | None:
        """What HUB_REDACT asks for; `always`: all that the hub can find, if that asks for nothing."""
        rules = self._settings.redact
        if rules is None and not always:
            return None
        from ...redaction import TextRedactor, parse

        return TextRedactor((rules or parse(_EVERYTHING)).detectors).redact

    def _redacted(self, items: list[Any] | None, *, always: bool) -> list[Any] | None:
        """Items of a chat history, redacted. `always`: the agent asked for it, which LiveKit leaves to the receiver."""
        redact = self._redactor(always=always)
        if items is None or redact is None:
            return items

        def plain(value: Any) -> Any:
            if isinstance(value, str):
                return redact(value)
            if isinstance(value, list):
                return [plain(item) for item in value]
            return {name: plain(item) for name, item in value.items()} if isinstance(value, dict) else value

        return [
            {
                name: plain(value) if name in ("content", "arguments", "output") else value
                for name, value in item.items()
            }
            for item in items
        ]

    # -- serving -------------------------------------------------------------------------------------------------------

    def audio_path(self, job: str) -> Path:
        """The file of a job's recording, whether or not there is one."""
        name = job if _SAFE.fullmatch(job) else blake2b(job.encode(), digest_size=16).hexdigest()
        return self.folder / "audio" / f"{name}.ogg"

    # -- erasing -------------------------------------------------------------------------------------------------------

    def erase(self, jobs: Iterable[Job]) -> int:
        """Erase all that is kept of these jobs; returns how many there were."""
        chosen = [job.job for job in jobs]
        for job in chosen:
            self.decoding.forget(job)
            for path in self.files_of(job):
                with suppress(FileNotFoundError):
                    path.unlink()
        return self.store.erase(chosen) if chosen else 0

    def jobs_of(self, sessions: Iterable[Session], selector: Selector) -> list[Job]:
        """The jobs of these sessions, and those of the session or the room that `selector` names; raises `RequestError`.
        A recording is whole, so none is selected by a participant alone."""
        if selector.participant is not None or not (selector.session or selector.room):
            return []
        try:
            kept = [self.store.job(session.job) for session in sessions if session.job is not None]
            kept += self.store.told_as(selector.session, selector.room)
        except StoreError as error:
            raise RequestError("recordings_unavailable", str(error)) from None
        found = {job.job: job for job in kept if job is not None}
        return [job for job in found.values() if selector.before is None or job.began < selector.before]

    def files_of(self, job: str) -> list[Path]:
        """The recording and what is derived from it."""
        audio = self.audio_path(job)
        return [audio, levels_path(audio)]

    def apply_retention(self) -> None:
        """Erase the oldest jobs until the rest is within its retention, and those of rooms whose own is shorter."""
        now = self._clock()
        retention = self._settings.recordings_retention
        for rule in self._settings.room_retention:
            filter = Filter.of(rooms=[rule.room])
            self.erase(
                job for job in self.store.changed_before(now - rule.age) if filter.matches("", job.room, job.session)
            )
        if retention.age is not None:
            self.erase(self.store.changed_before(now - retention.age))
            self.store.erase_orphans(now - retention.age)
        while retention.size is not None and self.store.size() > retention.size:
            oldest = self.store.oldest(20)
            if not oldest or not self.erase(oldest):
                break

    def remove_strays(self) -> None:
        """Remove what a kill -9 left: beginnings of uploads, and recordings that no job knows of."""
        old = time.time() - _LEFTOVER
        remove_leftovers(self.folder / "incoming", old)
        known = {path for job in self.store.names() for path in self.files_of(job)}
        for path in (self.folder / "audio").glob("*"):
            with suppress(FileNotFoundError):
                if path not in known and path.stat().st_mtime < old:
                    path.unlink()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _keep(self, keep: Callable[[], object]) -> None:
        with self._disk():
            keep()

    def _disk(self) -> _Disk:
        return _Disk(self)

    def complain(self, text: str) -> None:
        """Log what is wrong, once."""
        if text != self._complaint:
            logger.error("%s", text)
        self._complaint = text

    def _loop(self) -> None:
        due = strays = time.monotonic() + _RETENTION
        while not self._stopped.wait(_ROUND):
            try:
                self._joining.step()
                if time.monotonic() >= due and self.store.exists:
                    due = time.monotonic() + _RETENTION
                    self.apply_retention()
                if time.monotonic() >= strays and self.store.exists:
                    strays = time.monotonic() + _LEFTOVER
                    self.remove_strays()
                self._complaint = ""
            except (StoreError, RequestError, OSError) as error:
                self.complain(f"recordings: {error}")
            except Exception:
                logger.exception("joining recordings failed")


class _Disk:
    """A context in which a full disk, or a store that cannot be used, is a `RequestError` after which exporters retry."""

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | StoreError):
            text = (
                str(error) if isinstance(error, StoreError) else f"{self._recordings.folder}: {error.strerror or error}"
            )
            self._recordings.complain(f"recordings cannot be kept: {text}")
            raise RequestError("recordings_unavailable", text) from error
