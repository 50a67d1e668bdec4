"""One target's way through the history: what it lacks, in batches, in order, tried until it is taken."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from ...sse import Cursor
from ..history import History, HistoryError, Record
from ..replay import resume
from .place import Mark, Place, PlaceError
from .sink import Batch, Failed, Item, Sink
from .targets import MOST_EVENTS, Target

logger = logging.getLogger(__name__)

OK, RETRYING, STOPPED = "ok", "retrying", "stopped"
_FIRST, _MOST = 0.5, 300.0
"""Seconds between two tries: from the first on twice as long each time, with up to half of it taken off by chance."""
_BREATH = 0.01
"""Seconds between two looks, at the least: a thousand publishers are one look, and nobody notices the delay."""
_YIELD = 0.001
"""Seconds between two steps on a long way, of all targets together: whoever has much to catch up leaves the others
their time."""
_SAVE = 5.0
"""Seconds between two savings of a place that moves on because nothing is wanted."""
_LOCK_PAUSE = 1.0
"""Seconds between two looks whether the hub that has the place has ended."""


@dataclass(frozen=True, slots=True)
class _Gap:
    """Events that cannot be forwarded any more: how many, if that is known, and after which cursor."""

    missed: int | None
    from_: str | None
    reason: str


class Follower:
    """Follows the history for one target, in a thread of its own, with one batch in memory.

    `open` it before the first event is taken, then `start`; `wake` it when there is something new; at the end `finish`,
    wait for `done`, `stop`, `close`. `make_sink` gets the mark that was saved and a function that saves another one;
    `turn` is one for all followers of a hub.
    """

    def __init__(
        self,
        target: Target,
        history: History,
        place: Place,
        make_sink: Callable[[Mark | None, Callable[[Mark], None]], Sink],
        turn: threading.Lock,
    ) -> None:
        self.target = target
        self.state = OK
        self.error: str | None = None
        self.retry_at: float | None = None
        self.forwarded = self.failures = self.missed = 0
        self.done = threading.Event()
        self._history = history
        self._place = place
        self._make_sink = make_sink
        self._turn = turn
        self._sink: Sink | None = None
        self._offset = history.floor if target.everything else history.head
        """Everything up to there was taken, or is not wanted, or is in the gap."""
        self._gap: _Gap | None = None
        self._saved = self._unsaved = ""
        self._mark: Mark | None = None
        self._batch: Batch | None = None
        self._most = MOST_EVENTS
        """Events that the receiver takes at once, as far as it has said."""
        self._tries = 0
        self._new = threading.Event()
        self._ending = threading.Event()
        self._finishing = self._closed = False
        self._looked = self._last_save = 0.0
        self._thread = threading.Thread(target=self._run, name=f"hub-forward-{target.slug}", daemon=True)

    @property
    def lag(self) -> int:
        """Events that it has yet to look at, those that it will not want included."""
        return max(0, self._history.head - self._offset)

    @property
    def cursor(self) -> str:
        """The place that is saved, as far as this hub has got there; before that, where it begins."""
        return self._saved or str(self._at(self._offset))

    # -- what the hub calls ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take the place where it is free; a target that is new has one from now on."""
        try:
            self._take_place()
        except Exception:  # its thread meets the same, says so, and tries again
            pass

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        if not self._new.is_set():
            self._new.set()

    def finish(self) -> None:
        """There will be nothing new: end when all is delivered, or where that has to wait."""
        self._finishing = True
        self._ending.set()
        self._new.set()

    def stop(self) -> None:
        """End at once, if it can: without another batch."""
        self._closed = True
        self.finish()

    def close(self) -> None:
        """After `stop`: let go of the place. A request that still hangs is left to itself; what it brings counts no more."""
        self._place.close()

    # -- its thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closed and self.state != STOPPED and self._goes_on():
                pass
        finally:
            if self._sink is not None:
                self._sink.close()
            self.done.set()

    def _goes_on(self) -> bool:
        """One step; False: it is over."""
        try:
            return self._step()
        except Failed as failure:
            return self._failed(failure)
        except HistoryError as error:
            return self._failed(Failed(str(error)))
        except Exception as error:  # a fault of ours must not end it without a word
            reason = f"a fault of the hub's ({type(error).__name__}), which its log describes"
            if not self._closed and self.error != reason:
                logger.exception("forwarding to %s has failed", self.target.shown)
            return self._failed(Failed(reason))

    def _step(self) -> bool:
        self._new.clear()
        self._take_place()
        assert self._sink is not None
        if self._batch is None:
            if self._unsaved:  # what was taken is noted before anything else is sent
                self._save(self._unsaved, now=True)
            self._batch = self._next(self._sink)
        if self._batch is None:
            return self._rest()
        batch = self._batch
        self._taken(batch, self._sink.send(batch))
        self._let_others()
        return True

    def _taken(self, batch: Batch, mark: Mark | None) -> None:
        self._batch = None
        self._offset, self._mark = batch.through.offset, mark
        self.forwarded += len(batch.items) - batch.gap
        self.missed += batch.missed
        self._most = min(MOST_EVENTS, self._most + 1)
        self._unsaved = str(batch.through)
        self._save(self._unsaved, now=True)
        self._well()

    def _well(self) -> None:
        """Whatever failed works."""
        self._tries = 0
        if self.state == RETRYING:
            self.state, self.error, self.retry_at = OK, None, None
            logger.warning("forwarding to %s works again", self.target.shown)

    def _failed(self, failure: Failed) -> bool:
        """Say what is wrong, once for each reason in a row, and wait; False: it is over."""
        if self._closed:
            return False
        self.failures += 1
        batch = self._batch
        if failure.too_large and batch is not None and len(batch.items) > 1:
            self._batch = batch.half()
            self._most = len(self._batch.items)
            return True
        reason = str(failure)
        if failure.gone:
            self.state, self.error, self.retry_at = STOPPED, reason, None
            logger.error("forwarding to %s has stopped: %s", self.target.shown, reason)
            return False
        wait = min(_MOST, _FIRST * 2.0 ** min(self._tries, 30)) * random.uniform(0.5, 1.0)
        if failure.wait is not None:
            wait = max(failure.wait, _FIRST)
        self._tries += 1
        if (self.state, self.error) != (RETRYING, reason):
            logger.warning(
                "forwarding to %s fails: %s; it is tried again, and nothing is lost", self.target.shown, reason
            )
        self.state, self.error, self.retry_at = RETRYING, reason, time.time() + wait
        return not self._ending.wait(wait)

    # -- its place ---------------------------------------------------------------------------------------------------

    def _take_place(self) -> None:
        """Have the place and the sink; raises `Failed`."""
        if self._sink is not None:
            return
        try:
            if not self._place.hold():
                raise Failed("another hub forwards to it, with the same HUB_FORWARD_STATE", wait=_LOCK_PAUSE)
            try:
                saved = self._place.load()
            except ValueError as error:
                logger.error("%s; all that the history has is forwarded", error)
                self._begin("")
            else:
                if saved is not None:
                    self._mark = saved.mark
                    self._begin(saved.cursor)
                else:
                    self._save(str(self._at(self._offset)), now=True)
        except PlaceError as error:
            raise Failed(str(error)) from None
        self._sink = self._make_sink(self._mark, self._note)

    def _begin(self, cursor: str) -> None:
        """Go on after `cursor`, with a gap where that cannot be."""
        start = resume(cursor, self.target.filter, self._history)
        self._offset, self._saved = start.offset, cursor
        if start.gap:
            self._gap = _Gap(*start.gap)

    def _note(self, mark: Mark) -> None:
        """Save the place as it is, with another mark; raises `PlaceError`."""
        self._place.save(self.cursor, mark)
        self._mark = mark

    def _save(self, cursor: str, *, now: bool) -> None:
        """Save the place; where nothing depends on it, only now and then. Raises `Failed`."""
        if not now and not self._finishing and time.monotonic() < self._last_save + _SAVE:
            return
        try:
            self._place.save(cursor, self._mark)
        except PlaceError as error:
            raise Failed(str(error)) from None
        self._saved, self._unsaved, self._last_save = cursor, "", time.monotonic()

    # -- what is next ------------------------------------------------------------------------------------------------

    def _next(self, sink: Sink) -> Batch | None:
        """What is to be sent next; None: there is nothing."""
        history, filter = self._history, self.target.filter
        events, size = sink.limits()
        while not self._closed:
            if history.floor > self._offset:
                self._passed_by(history.floor)
            head = history.head
            if self._gap is None and self._offset >= head:
                return None
            page = history.after(self._offset, head, filter, min(events, self._most))
            if history.floor > self._offset:
                continue  # retention was faster
            fit = _fitting(page.records, size)
            if fit or self._gap:
                return self._put_together(fit, page.through if len(fit) == len(page.records) else fit[-1].offset)
            self._offset = page.through
            self._save(str(self._at(self._offset)), now=False)
            self._let_others()
        return None

    def _put_together(self, records: list[Record], through: int) -> Batch:
        gap, self._gap = self._gap, None
        items = [Item(self._at(record.offset), record.data) for record in records]
        now = time.time()
        if gap:
            to = self._at(self._offset)
            told = {"missed": gap.missed, "from": gap.from_, "to": str(to), "reason": gap.reason}
            items.insert(0, Item(to, msgspec.json.encode({"type": "stream_gap", "timestamp": now, **told})))
        missed = (gap.missed or 0) if gap else 0
        return Batch(tuple(items), self._at(through), now, gap is not None, missed)

    def _passed_by(self, floor: int) -> None:
        """Retention has given up what was to come next."""
        missed = floor - self._offset if self.target.filter.everything else None
        if self._gap is None:
            self._gap = _Gap(missed, str(self._at(self._offset)), "retention")
        else:  # one after the other: one gap
            before = self._gap
            both = before.missed + missed if before.missed is not None and missed is not None else None
            self._gap = _Gap(both, before.from_, before.reason)
        self._offset = floor

    def _let_others(self) -> None:
        with self._turn:
            time.sleep(_YIELD)

    def _at(self, offset: int) -> Cursor:
        return self._history.epochs.cursor(offset)

    def _rest(self) -> bool:
        """All is delivered: wait for more; False: it is over."""
        here = str(self._at(self._offset))
        moved = self._saved != here
        if moved:
            self._save(here, now=False)
            moved = self._saved != here
        self._well()
        if self._finishing:
            return False
        pause = self._looked + _BREATH - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        self._new.wait(_SAVE if moved else None)
        self._looked = time.monotonic()
        return True


def _fitting(records: list[Record], size: int) -> list[Record]:
    """As many of `records` as have at most `size` bytes; one at the least, if there is one."""
    total = 0
    for number, record in enumerate(records):
        total += len(record.data)
        if total > size and number:
            return records[:number]
    return records
