"""A recording that is uploaded: a multipart body, written to disk as it comes and never held in memory."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from ..errors import RequestError

_T = TypeVar("_T")
HEADER, CHAT, AUDIO = "header", "chat_history", "audio"
"""The parts of LiveKit's upload, in this order; the last two may be missing."""
_LIMITS = {HEADER: 1 << 20, CHAT: 32 << 20}
_PARTS = 8
_SUFFIX = ".part"


class Upload:
    """One upload, received into a file of its own in `folder`; a context manager that removes the file in the end."""

    def __init__(self, folder: Path, in_thread: Callable[[Callable[[], object]], object]) -> None:
        """`in_thread`: calls a function off the event loop, and waits for it."""
        self._in_thread = in_thread
        self.path = folder / f"{secrets.token_hex(8)}{_SUFFIX}"
        """The audio, if there is any."""
        self.parts: dict[str, bytes] = {}
        """The other parts, by name."""
        self.audio = 0
        """Bytes of audio."""
        self._hash = blake2b(digest_size=16)
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        self.path.unlink(missing_ok=True)

    @property
    def digest(self) -> str:
        """A hash of the audio."""
        return self._hash.hexdigest()

    def receive(self, content_type: str, pieces: Iterable[bytes]) -> None:
        """Read the whole body; raises `RequestError`, or OSError if it cannot be written. The audio is on disk afterwards,
        through a power failure too."""
        decoder = MultipartDecoder(boundary(content_type), max_form_memory_size=max(_LIMITS.values()), max_parts=_PARTS)
        name, size = "", 0
        part: list[bytes] = []
        try:
            for piece in chain(pieces, (None,)):  # None: its end
                decoder.receive_data(piece)
                while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
                    if isinstance(event, Field | File):
                        name, size, part = event.name, 0, []
                    elif isinstance(event, Data):
                        size += len(event.data)
                        if name == AUDIO:
                            self._write(event.data)
                        elif name in _LIMITS:
                            if size > _LIMITS[name]:
                                text = f"the part {name} has more than {_LIMITS[name]} bytes"
                                raise RequestError("body_too_large", text)
                            part.append(bytes(event.data))
                            if not event.more_data:
                                self.parts[name] = b"".join(part)
        except RequestEntityTooLarge:
            raise RequestError("body_too_large", f"the body has more than {_PARTS} parts, or a long one") from None
        except ValueError as error:
            raise RequestError("bad_body", f"the body is not multipart/form-data, or is cut off: {error}") from None
        if self._file is not None:
            file = self._file
            self._in_thread(lambda: _flush(file))

    def _write(self, data: bytes | bytearray) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.fdopen(
                os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=1 << 20
            )
        self._file.write(data)
        self._hash.update(data)
        self.audio += len(data)

    def keep(self, path: Path) -> None:
        """Move the audio to `path`, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.replace(path)

        def settle() -> None:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

        self._in_thread(settle)


def boundary(content_type: str) -> bytes:
    """The boundary of a multipart body; raises `RequestError`."""
    kind, options = parse_options_header(content_type)
    found = options.get("boundary", "")
    if kind != "multipart/form-data" or not 0 < len(found) <= 70:
        raise RequestError(
            "unsupported_media_type",
            f"the content type is {kind[:64] or 'missing'}; recordings are multipart/form-data with a boundary",
            advice="Let LiveKit's agent upload its recording: set LIVEKIT_OBSERVABILITY_URL.",
        )
    return found.encode("latin-1", "replace")


def remove_leftovers(folder: Path, older: float) -> None:
    """Remove what an upload left that a kill -9 interrupted: files that have not changed since `older` (epoch seconds)."""
    for path in folder.glob(f"*{_SUFFIX}"):
        try:
            if path.stat().st_mtime < older:
                path.unlink()
        except OSError:
            pass


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
