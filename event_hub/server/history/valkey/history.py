"""A history in a stream of Valkey or Redis, shared by all hubs that name the same server.

One script appends a batch: atomically, at dense offsets, each event_id once. Batches are numbered, so that one whose answer
was lost can be sent again. Each start of the server begins an epoch: scripts do not survive it, so a missing one is the
sign (`open.lua`). What a server that was killed has lost is recognized by its epochs, and never passed over in silence.

https://valkey.io/topics/streams-intro/
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import LifoQueue
from typing import Any, TypeVar

from ....sse import Cursor
from ...filters import Filter
from ..base import Appended, Draft, Epochs, History, HistoryError, HistoryLost, HistoryPage, Retention, Stored
from .address import ServerAddress, load_redis
from .errors import asks_to_open, explain, is_temporary
from .link import Call, Link, Silence, transaction
from .pages import Pages, entries_of
from .scripts import script, sha

_T = TypeVar("_T")

_PATIENCE = 3.0
"""Seconds that an append waits for a server that is restarting. Afterwards publishers are refused until it is back."""
_START_PATIENCE = 15.0
"""Seconds that a new hub waits for a server that is starting."""
_PAUSE = 0.05
"""Seconds between two attempts, doubled up to a second."""
_REMEMBERED = 86_400
"""Seconds for which the server remembers the last batch of a hub."""
_FOLLOWED = 1_000
"""Events in one read of the follower."""
_BLOCK = 1_000
"""Milliseconds after which a read of the follower returns without events: less than the timeout of the connection."""
_REST = 0.003
"""Seconds between two reads of the follower that found few events: a wake-up for each costs 10 % of a core at 1,000/s."""
_TRIM = 1_000
"""Events removed in one step of retention: about a millisecond of the server's time."""
_ID_BYTES = 100
"""Bytes that an event_id takes in the server."""
_REWRITE = 60.0
"""Seconds that a scrub waits for the server to rewrite its file."""
_READERS = 4
"""Connections for reading."""


class ValkeyHistory(History):
    """Events in one stream. Other processes append to it as well; `follow` yields what they append."""

    kind = "valkey"
    shared = True

    def __init__(self, url: str, retention: Retention, *, patience: float = _START_PATIENCE) -> None:
        """Raises `HistoryError` if the server cannot be used within `patience` seconds."""
        self.address = ServerAddress(url)
        self._retention = retention
        self._redis = load_redis()
        keys = ("events", "ids", "meta", "epochs", "erased")
        self._events, self._ids, self._meta, self._epochs, self._erased = map(self.key, keys)
        self.name = secrets.token_hex(6)
        """The name of this process among those that share the history."""
        self._batch = self.key(f"batch:{self.name}")
        self._number = 0
        self.epochs = Epochs([("", 1)])
        self.head = self.floor = 0
        self._opened = False
        self._failure: str | None = None
        """Why appends fail; `probe` clears it."""
        self._lost: int | None = None
        """The server has lost events that this process knows: the offset up to which it is as before."""
        self._found: tuple[list[tuple[str, int]], int, int] = ([], 0, 0)
        """The epochs, head and floor that the server has then."""
        self._state = threading.Lock()
        self._appending = Link(self.address, self._open)
        self._following = Link(self.address, self._open)
        self._silence = Silence()
        self._serving = Link(self.address, self._open, silence=self._silence)
        """For upkeep, and for what hubs share besides events."""
        self._links = [Link(self.address, silence=self._silence) for _ in range(_READERS)]
        self._readers: LifoQueue[Link] = LifoQueue()
        for link in self._links:
            self._readers.put(link)
        self._pages = Pages(self._read, self._events, self._erased, lambda: self._refresh(self._serving))
        self._refreshed = 0.0
        self._closed = False
        try:
            self._patiently(lambda: self._serving.call("PING"), patience, load=True)
        except HistoryError:
            self.close()
            raise

    def key(self, name: str) -> str:
        """A key of this history; all are in one slot of a cluster."""
        return f"{{{self.address.prefix}}}:{name}"

    # -- opening -------------------------------------------------------------------------------------------------------

    def _open(self, call: Call) -> None:
        """Learn epochs, head and floor on a new connection, and begin an epoch if the server has just started."""
        epoch, (known,) = transaction(call, ("HGET", self._meta, "epoch"), ("SCRIPT", "EXISTS", sha("append")))
        opening = ("EVAL", script("open"), 3, self._events, self._meta, self._epochs)
        answer = call(*opening, "-", "") if epoch and known else None
        if answer is None or not answer[3] or not answer[3][-1].endswith(b" " + answer[0]):  # the list was removed
            begin = (*opening, epoch or "", Epochs.new_name())
            answer, _ = transaction(call, begin, ("SCRIPT", "LOAD", script("append")))
        self._learn(*answer)

    def _learn(self, _epoch: bytes, head: int, floor: int, rows: list[bytes]) -> None:
        with self._state:
            names = [row.decode().partition(" ") for row in rows]
            epochs = [(name, int(first)) for first, _, name in names]
            survived = Epochs(epochs).survived(self.epochs.cursor(self.head))
            if self._opened and (survived is None or not survived[1]):
                # Until the log begins again, a cursor names what was delivered, which is of the epochs before.
                self._lost = 0 if survived is None else survived[0]
                self._found = epochs, head, floor
                return
            self.epochs.update(epochs)
            self.head, self.floor = max(self.head, head), floor
            self._opened = True

    def _patiently(self, attempt: Callable[[], _T], patience: float, *, load: bool = False) -> _T:
        """What `attempt` returns; as long as it fails for the moment, again, for `patience` seconds (`load`: for as long as
        the server loads its data). Raises `HistoryError`."""
        until, pause = time.monotonic() + patience, _PAUSE
        errors = self._redis.exceptions
        while True:
            try:
                return attempt()
            except (errors.RedisError, OSError) as error:
                loading = load and isinstance(error, errors.BusyLoadingError)
                late = not loading and time.monotonic() + pause > until
                if self._closed or late or not is_temporary(error):
                    raise explain(error, self.address) from None
            time.sleep(pause)
            pause = min(1.0, 2 * pause)

    # -- appending -----------------------------------------------------------------------------------------------------

    def append(self, drafts: Sequence[Draft], at: float) -> list[Appended]:
        """As `History.append`. If it raises, the events may have been stored all the same: then `follow` yields them, and
        if they are sent again, they are recognized as duplicates by their event_ids."""
        if self._failure is not None:
            raise HistoryError(self._failure)
        self._check_lost()
        if not drafts:
            return []
        self._number += 1
        words: list[Any] = []
        for draft in drafts:
            words += (draft.event_id or "", draft.data)
        try:
            answer = self._patiently(lambda: self._send(repr(at), words), _PATIENCE)
        except HistoryError as error:
            self._failure = str(error)
            raise
        before, new, epoch, repeated = answer
        if new and self.epochs.of(before + 1) != epoch.decode():
            raise HistoryError(f"{self.address.shown} has lost the events right after it had stored them")
        duplicates = dict(zip(repeated[::2], repeated[1::2], strict=True))
        appended, offset = [], before
        for index in range(len(drafts)):
            existing = duplicates.get(index)
            if existing is not None:
                appended.append(Appended(existing, True))
            else:
                offset += 1
                appended.append(Appended(offset, False))
        with self._state:
            self.head = max(self.head, offset)
        return appended

    def _send(self, at: str, words: list[Any]) -> list[Any]:
        while True:
            arguments = (self.epochs.current, self._number, at, _REMEMBERED, *words)
            keys = (self._events, self._ids, self._meta, self._batch)
            try:
                answer: list[Any] = self._appending.call("EVALSHA", sha("append"), 4, *keys, *arguments)
            except self._redis.exceptions.ResponseError as error:
                if not asks_to_open(error):
                    raise
                self._appending.run(self._open)
            else:
                self._check_lost()
                return answer
            self._check_lost()

    def _check_lost(self) -> None:
        if self._lost is not None:
            raise HistoryError(self._lost_events)

    @property
    def _lost_events(self) -> str:
        return f"{self.address.shown} has lost events: streams are being opened again, in a moment"

    # -- following -----------------------------------------------------------------------------------------------------

    def follow(self, delivered: Callable[[], int]) -> Iterator[Sequence[Stored]]:
        while not self._closed:
            self._check_continues(delivered())
            offset, epoch = delivered(), self.epochs.current
            words = ("COUNT", _FOLLOWED, "BLOCK", _BLOCK, "STREAMS", self._events, f"{offset}-0")
            try:
                answer = self._following.call("XREAD", *words)
            except (self._redis.exceptions.RedisError, OSError) as error:
                if self._closed:
                    return
                raise explain(error, self.address) from None
            if not answer:
                self._refresh(self._following)
                continue
            entries = entries_of(answer[0][1])
            last = entries[-1].offset
            if last - offset > len(entries):  # erased or removed before they were read here
                entries = self._pages.filled(entries, offset, last)
            new = delivered()
            self._check_continues(new)
            if self.epochs.current != epoch:
                continue  # what was read may be of the epoch before
            with self._state:
                self.head = max(self.head, last)
            if last > new:
                yield [(entry.offset, entry.draft) for entry in entries if entry.offset > new]
            if len(entries) < _FOLLOWED:
                time.sleep(_REST)
            if time.monotonic() - self._refreshed > 1:
                self._refreshed = time.monotonic()
                self._refresh(self._following)

    def _check_continues(self, delivered: int) -> None:
        """Raise `HistoryLost` if events up to `delivered`, or after it, are gone."""
        with self._state:
            lost, self._lost = self._lost, None
            if lost is not None:
                epochs, self.head, self.floor = self._found
                self.epochs.update(epochs)
        if lost is not None and lost < delivered:
            raise HistoryLost(self.head, "lost")
        if self.floor > delivered:
            raise HistoryLost(max(self.floor, self.head), "retention")

    def _refresh(self, link: Link) -> None:
        """Learn what other hubs have changed. A stream that is gone answers nothing, for ever, so one has to ask."""
        try:
            names = ("HMGET", self._meta, "epoch", "head", "floor")
            try:
                epoch, head, floor = link.call(*names)
            except self._redis.exceptions.ConnectionError:
                epoch, head, floor = link.call(*names)  # as for `_read`: otherwise a reader would not catch up
            if epoch is None or epoch.decode() != self.epochs.current:
                link.run(self._open)
                return
        except (self._redis.exceptions.RedisError, OSError) as error:
            raise explain(error, self.address) from None
        with self._state:
            self.head, self.floor = max(self.head, int(head)), int(floor or 0)

    def newest(self) -> Cursor:
        epoch, head = self._read("HMGET", self._meta, "epoch", "head")
        if epoch is None or epoch.decode() != self.epochs.current:
            self._refresh(self._serving)
        return Cursor(epoch.decode() if epoch else self.epochs.current, int(head or 0))

    # -- reading -------------------------------------------------------------------------------------------------------

    def after(self, offset: int, until: int, filter: Filter, limit: int) -> HistoryPage:
        offset = max(offset, self.floor)
        until = min(until, self.head)
        return self._pages.after(offset, until, filter, limit)

    def before(self, offset: int, filter: Filter, limit: int) -> HistoryPage:
        return self._pages.before(min(offset, self.head), self.floor, filter, limit)

    def offset_at(self, at: float) -> int:
        found = self._read("EVAL", script("offset_at"), 2, self._events, self._meta, repr(at))
        return max(self.floor, int(found))

    def size(self) -> int:
        stream = self._read("MEMORY", "USAGE", self._events) or 0
        return int(stream) + _ID_BYTES * int(self._read("ZCARD", self._ids))

    def _read(self, *words: Any) -> Any:
        """Call on one of the connections for reading. Raises `HistoryError`."""
        asked = time.monotonic()
        link = self._readers.get()
        try:
            self._silence.check(asked)
            try:
                return link.call(*words)
            except self._redis.exceptions.ConnectionError:
                return link.call(*words)  # the server was restarted; a connection that is new has failed for good
        except (self._redis.exceptions.RedisError, OSError) as error:
            raise explain(error, self.address) from None
        finally:
            self._readers.put(link)

    # -- what hubs share besides events ----------------------------------------------------------------------------------

    def call(self, *words: Any) -> Any:
        """One command, for what hubs share besides events. Raises `HistoryError`."""
        try:
            return self._serving.call(*words)
        except (self._redis.exceptions.RedisError, OSError) as error:
            raise explain(error, self.address) from None

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def trim(self, now: float) -> bool:
        retention, kept = self._retention, self.head - self.floor
        if not kept or self._failure is not None:
            return False
        through, size = self.floor, 0
        if retention.size is not None:
            size = self.size()
        if retention.size is not None and size > retention.size:
            through += min(_TRIM, math.ceil((size - retention.size) * kept / size))
        elif retention.age is not None:
            through = min(self.offset_at(now - retention.age), self.floor + _TRIM)
        if through == self.floor:
            return False
        keys = (self._events, self._ids, self._meta, self._erased)
        floor, head = self._change("trim", keys, through)
        with self._state:
            self.floor, self.head = max(self.floor, floor), max(self.head, head)
        return True

    def erase(self, tombstones: Mapping[int, bytes]) -> None:
        if tombstones:
            words = [word for offset, data in tombstones.items() for word in (offset, data)]
            self._change("erase", (self._events, self._meta, self._erased), *words)

    def scrub(self) -> None:
        """What was erased is still in the server's append-only file until that is rewritten."""
        try:
            if b"aof_enabled:1" not in self.call("INFO", "persistence"):
                return
            self.call("BGREWRITEAOF")
            until = time.monotonic() + _REWRITE
            while time.monotonic() < until:
                state = self.call("INFO", "persistence")
                if b"aof_rewrite_in_progress:0" in state and b"aof_rewrite_scheduled:0" in state:
                    return
                time.sleep(_PAUSE)
        except HistoryError as error:
            if "in progress" in str(error):
                return
            raise HistoryError(
                f"what was erased is still in a file of the server: run BGREWRITEAOF there ({error})"
            ) from None

    def _change(self, name: str, keys: Sequence[str], *words: Any) -> Any:
        """Run a script of ours that changes something. Raises `HistoryError`."""
        while True:
            self._check_lost()
            try:
                return self._serving.call("EVAL", script(name), len(keys), *keys, self.epochs.current, *words)
            except (self._redis.exceptions.RedisError, OSError) as error:
                if not asks_to_open(error):
                    raise explain(error, self.address) from None
            self._refresh(self._serving)

    def check(self) -> None:
        self.call("PING")
        if self._failure is not None:
            raise HistoryError(self._failure)

    def probe(self) -> None:
        self._refresh(self._serving)
        # An append of nothing, which fails where one of events would.
        words = (self.epochs.current, time.time_ns() // 1_000_000, "0", 1)
        keys = (self._events, self._ids, self._meta, self.key(f"probe:{self.name}"))
        try:
            self._serving.call("EVALSHA", sha("append"), 4, *keys, *words)
        except (self._redis.exceptions.RedisError, OSError) as error:
            raise explain(error, self.address) from None
        self._failure = None

    def close(self) -> None:
        self._closed = True
        for link in (self._appending, self._following, self._serving, *self._links):
            link.close()
