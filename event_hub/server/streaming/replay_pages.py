"""Pages of a replay, encoded once for all subscribers that resume at the same place with the same filter.

After a restart every subscriber comes back at once, most of them with the same cursor. Stored events do not change, so the
page after a cursor is the same for all of them; only the newest page grows.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from ... import sse
from ..filters import Filter
from ..history import HistoryReader
from .start import PAGE

_MOST_BYTES = 16 << 20
"""Bytes of pages that are kept."""
_MOST_PAGES = 256
"""A filter with many patterns takes more memory than an empty page."""
_UNUSED = 10.0
"""Seconds after which all pages are dropped if none was asked for."""
_GROWN = 100
"""Events by which the newest page may be shorter than it could be: the rest follows live, or as a page of its own."""


class ReplayPage:
    """Frames of a replay in one piece. `through`: the offset up to which every event was examined."""

    __slots__ = ("_chunk", "count", "data", "full", "through")

    def __init__(self, data: bytes, count: int, through: int, *, full: bool) -> None:
        self.data = data
        self.count = count
        """The number of events."""
        self.through = through
        self.full = full
        """It ends because it is large enough, so that it would be the same later."""
        self._chunk: bytes | None = None

    @property
    def chunk(self) -> bytes:
        """The page as one chunk of a chunked body; the same object for all."""
        if self._chunk is None:
            self._chunk = sse.chunk(self.data)
        return self._chunk


class ReplayPages:
    """Reads pages from the history, and keeps those that others are likely to ask for."""

    def __init__(self, history: HistoryReader) -> None:
        self._history = history
        self._pages: OrderedDict[tuple[Filter, str, int], ReplayPage] = OrderedDict()
        self._bytes = 0
        self._used = 0.0
        self._cleared = 0
        """How often: a page that was read before is not kept."""
        self._lock = threading.Lock()

    def after(self, offset: int, filter: Filter) -> ReplayPage:
        """The next page of matching events after `offset`; raises `HistoryError`."""
        history = self._history
        key = filter, history.epochs.current, offset
        with self._lock:
            self._used = time.monotonic()
            page = self._pages.get(key)
            if page is not None and (page.full or history.head - page.through <= _GROWN):
                self._pages.move_to_end(key)
                return page
            cleared = self._cleared
        page = self._read(offset, filter)
        if page.through > offset:
            self._keep(key, page, cleared)
        return page

    def clear(self) -> None:
        """Drop all pages: events were erased."""
        with self._lock:
            self._pages.clear()
            self._bytes = 0
            self._cleared += 1

    def drop_unused(self) -> None:
        """Drop all pages if none was asked for in the last seconds."""
        if self._pages and time.monotonic() - self._used > _UNUSED:
            self.clear()

    def _read(self, offset: int, filter: Filter) -> ReplayPage:
        history = self._history
        head = history.head
        page = history.after(offset, head, filter, PAGE)
        epochs = history.epochs
        frames = [sse.frame(epochs.of(at), at, sse.one_line(data)) for at, data in page.records]
        return ReplayPage(b"".join(frames), len(frames), page.through, full=page.through < head)

    def _keep(self, key: tuple[Filter, str, int], page: ReplayPage, cleared: int) -> None:
        with self._lock:
            if cleared != self._cleared:
                return
            before = self._pages.pop(key, None)
            self._bytes += _size(page) - (_size(before) if before is not None else 0)
            self._pages[key] = page
            while (self._bytes > _MOST_BYTES or len(self._pages) > _MOST_PAGES) and len(self._pages) > 1:
                _, oldest = self._pages.popitem(last=False)
                self._bytes -= _size(oldest)


def _size(page: ReplayPage) -> int:
    """Bytes that it takes at most, as a chunk too."""
    return 2 * len(page.data) + 500
