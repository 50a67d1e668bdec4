"""Delivers the history to one target: in batches, in order, each retried until it is accepted."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

import msgspec

from ...sse import Cursor
from ..gap import Gap
from ..history import HistoryError, HistoryReader, Record
from ..streaming.start import resume
from .checkpoint import CheckpointError, CheckpointStore, CheckpointTaken, FileState
from .sink import Batch, DeliveryFailed, Item, Sink
from .targets import MOST_EVENTS, Target

logger = logging.getLogger(__name__)

OK, RETRYING, STOPPED, STANDBY = "ok", "retrying", "stopped", "standby"
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 300.0
"""Seconds before a retry: doubled after each failure, then reduced by a random part of up to half."""
_CHECK_INTERVAL = 0.01
"""Minimum seconds between two checks for new events: events of a thousand publishers share one check."""
_YIELD = 0.001
"""Seconds of pause after each step, one follower at a time: a target that is far behind must not slow the hub down."""
_SAVE_INTERVAL = 5.0
"""Minimum seconds between two saves of a checkpoint that only moved past events that do not match."""
_LOCK_INTERVAL = 1.0
"""Seconds between two attempts to lock a checkpoint that another hub uses."""


class Follower:
    """Follows the history for one target, in its own thread, with one batch in memory.

    `open` it before the first event is published, then `start`; `wake` it after each publish; at the end `finish`, wait
    for `done`, `stop`, `close`. `make_sink` gets the file state from the checkpoint and a function that saves a new
    one. `turn` is shared by all followers of a hub.
    """

    def __init__(
        self,
        target: Target,
        history: HistoryReader,
        checkpoint: CheckpointStore,
        make_sink: Callable[[FileState | None, Callable[[FileState], None]], Sink],
        turn: threading.Lock,
        *,
        shared: bool = False,
    ) -> None:
        """`shared`: several processes of one installation have this target, and one of them forwards to it."""
        self.target = target
        self.state = OK
        self.error: str | None = None
        self.retry_at: float | None = None
        self.forwarded = self.failures = self.missed = 0
        self.done = threading.Event()
        self._history = history
        self._checkpoint = checkpoint
        self._make_sink = make_sink
        self._turn = turn
        self._shared = shared
        self._sink: Sink | None = None
        self._offset = history.floor if target.everything else history.head
        """Everything up to here was accepted, does not match the filter, or is part of the gap."""
        self._gap: Gap | None = None
        self._saved = self._unsaved = ""
        self._file_state: FileState | None = None
        self._batch: Batch | None = None
        self._batch_gap: Gap | None = None
        """The gap that `_batch` reports."""
        self._stale = False
        """Events were erased since `_batch` was read."""
        self._restarted = False
        """The history has lost events since `_offset` was read."""
        self._batch_limit = MOST_EVENTS
        """Maximum events in a batch, reduced when the receiver reports that a batch is too large."""
        self._attempts = 0
        self._new = threading.Event()
        self._ending = threading.Event()
        self._finishing = self._closed = False
        self._checked_at = self._saved_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"hub-forward-{target.slug}", daemon=True)

    @property
    def lag(self) -> int:
        """Number of events that it has yet to consider, including those that will not match."""
        if self.state == STANDBY:
            return 0
        return max(0, self._history.head - self._offset)

    @property
    def cursor(self) -> str:
        """The cursor in the checkpoint; where forwarding starts, if this hub has neither read nor written it yet."""
        return self._saved or str(self._cursor_at(self._offset))

    # -- what the hub calls ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Lock the checkpoint if it is free; create it for a new target."""
        try:
            self._acquire_checkpoint()
        except Exception:  # the thread runs into the same, reports it and retries
            pass

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Call it after each publish."""
        if not self._new.is_set():
            self._new.set()

    def erased(self) -> None:
        """Events were erased: a batch that waits for a retry is read again from the history."""
        self._stale = True

    def restarted(self) -> None:
        """The history has lost events, so that others are, or will be, at their offsets."""
        self._restarted = self._stale = True
        self.wake()

    def finish(self) -> None:
        """No more events will come: end once all are delivered, or at the first delay."""
        self._finishing = True
        self._ending.set()
        self._new.set()

    def stop(self) -> None:
        """End as soon as possible, without another batch."""
        self._closed = True
        self.finish()

    def close(self) -> None:
        """After `stop`: release the checkpoint. A request still in progress is abandoned, and its outcome is ignored."""
        self._checkpoint.close()

    # -- its thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closed and self.state != STOPPED and self._try_step():
                pass
        finally:
            if self._sink is not None:
                self._sink.close()
            self.done.set()

    def _try_step(self) -> bool:
        """Do one step; False to end the thread."""
        try:
            return self._step()
        except _OnStandby:
            return self._stand_by()
        except DeliveryFailed as failure:
            return self._failed(failure)
        except HistoryError as error:
            return self._failed(DeliveryFailed(str(error)))
        except Exception as error:  # a bug must not end the thread silently
            reason = f"an internal error of the hub ({type(error).__name__}), see its log"
            if not self._closed and self.error != reason:
                logger.exception("forwarding to %s failed", self.target.shown)
            return self._failed(DeliveryFailed(reason))

    def _step(self) -> bool:
        self._new.clear()
        self._acquire_checkpoint()
        assert self._sink is not None
        if self._batch is not None and self._stale:
            self._batch, self._gap = None, self._batch_gap
        if self._batch is None:
            if self._unsaved:  # save what was accepted before anything else is sent
                self._save(self._unsaved, now=True)
            self._batch = self._next_batch(self._sink)
        if self._batch is None:
            return self._wait_for_events()
        batch = self._batch
        if self._stale:
            return True
        self._accepted(batch, self._sink.send(batch))
        self._yield_turn()
        return True

    def _accepted(self, batch: Batch, file_state: FileState | None) -> None:
        self._batch = None
        self._offset, self._file_state = batch.through.offset, file_state
        self.forwarded += len(batch.items) - batch.gap
        self.missed += batch.missed
        self._batch_limit = min(MOST_EVENTS, self._batch_limit + 1)
        self._unsaved = str(batch.through)
        self._save(self._unsaved, now=True)
        self._recovered()

    def _recovered(self) -> None:
        """Clear the last failure and report that forwarding works again."""
        self._attempts = 0
        if self.state == STANDBY:
            self.state = OK
        if self.state == RETRYING:
            self.state, self.error, self.retry_at = OK, None, None
            logger.warning("forwarding to %s works again", self.target.shown)

    def _stand_by(self) -> bool:
        """Another process forwards to the target: forget where this one was; False to end the thread."""
        if self._sink is not None:
            self._sink.close()
        self._sink = self._batch = self._gap = None
        self._unsaved = ""
        self.state, self.error, self.retry_at = STANDBY, None, None
        return not self._ending.wait(_LOCK_INTERVAL)

    def _failed(self, failure: DeliveryFailed) -> bool:
        """Report a failure unless it repeats the previous one, then wait; False to end the thread."""
        if self._closed:
            return False
        self.failures += 1
        batch = self._batch
        if failure.too_large and batch is not None and len(batch.items) > 1:
            self._batch = batch.half()
            self._batch_limit = len(self._batch.items)
            return True
        reason = str(failure)
        if failure.gone:
            self.state, self.error, self.retry_at = STOPPED, reason, None
            logger.error("forwarding to %s has stopped: %s", self.target.shown, reason)
            return False
        wait = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(self._attempts, 30)) * random.uniform(0.5, 1.0)
        if failure.wait is not None:
            wait = max(failure.wait, _FIRST_DELAY)
        self._attempts += 1
        if (self.state, self.error) != (RETRYING, reason):
            logger.warning("forwarding to %s fails: %s; the hub retries, no events are lost", self.target.shown, reason)
        self.state, self.error, self.retry_at = RETRYING, reason, time.time() + wait
        return not self._ending.wait(wait)

    # -- checkpoint --------------------------------------------------------------------------------------------------

    def _acquire_checkpoint(self) -> None:
        """Lock and load the checkpoint and make the sink, unless done already; raises `DeliveryFailed`."""
        if self._sink is not None:
            return
        try:
            if not self._checkpoint.acquire():
                if self._shared:
                    raise _OnStandby
                raise DeliveryFailed("another hub with the same HUB_FORWARD_STATE forwards to it", wait=_LOCK_INTERVAL)
            try:
                checkpoint = self._checkpoint.load()
            except ValueError as error:
                logger.error("%s; the whole history is forwarded again", error)
                self._resume_after("")
            else:
                if checkpoint is not None:
                    self._file_state = checkpoint.file
                    self._resume_after(checkpoint.cursor)
                else:
                    self._save(str(self._cursor_at(self._offset)), now=True)
        except CheckpointError as error:
            raise DeliveryFailed(str(error)) from None
        self._sink = self._make_sink(self._file_state, self._save_file_state)

    def _resume_after(self, cursor: str) -> None:
        """Resume after `cursor`, with a gap if events after it are gone."""
        start = resume(cursor, self.target.filter, self._history)
        self._offset, self._saved = start.offset, cursor
        if start.gap:
            self._gap = start.gap

    def _save_file_state(self, file_state: FileState) -> None:
        """Save the current cursor with a new file state; raises `CheckpointError`."""
        self._checkpoint.save(self.cursor, file_state)
        self._file_state = file_state

    def _save(self, cursor: str, *, now: bool) -> None:
        """Save the checkpoint: `now`, or only if the last save is long enough ago. Raises `DeliveryFailed`."""
        if not now and not self._finishing and time.monotonic() < self._saved_at + _SAVE_INTERVAL:
            return
        try:
            self._checkpoint.save(cursor, self._file_state)
        except CheckpointTaken:
            if self._shared:
                raise _OnStandby from None
            raise DeliveryFailed(str(CheckpointTaken())) from None
        except CheckpointError as error:
            raise DeliveryFailed(str(error)) from None
        self._saved, self._unsaved, self._saved_at = cursor, "", time.monotonic()

    # -- reading ahead -----------------------------------------------------------------------------------------------

    def _next_batch(self, sink: Sink) -> Batch | None:
        """Read the next batch from the history; None if there are no more events."""
        history, filter = self._history, self.target.filter
        events, size = sink.limits()
        self._stale = False
        while not self._closed:
            if self._restarted:
                self._restarted = False
                self._resume_after(self.cursor)
            if gap := history.retention_gap(self._offset, filter):
                self._gap = gap if self._gap is None else self._gap.joined(gap)
                self._offset = gap.to.offset
            head = history.head
            if self._gap is None and self._offset >= head:
                return None
            page = history.after(self._offset, head, filter, min(events, self._batch_limit))
            if history.floor > self._offset or self._restarted:
                continue  # events were deleted meanwhile, or are others now
            fit = _fitting(page.records, size)
            if fit or self._gap:
                return self._make_batch(fit, page.through if len(fit) == len(page.records) else fit[-1].offset)
            self._offset = page.through
            self._save(str(self._cursor_at(self._offset)), now=False)
            self._yield_turn()
        return None

    def _make_batch(self, records: list[Record], through: int) -> Batch:
        self._batch_gap = gap = self._gap
        self._gap = None
        items = [Item(self._cursor_at(record.offset), record.data) for record in records]
        now = time.time()
        if gap:
            fields = {"type": "stream_gap", "timestamp": now, **gap.fields()}
            items.insert(0, Item(gap.to, msgspec.json.encode(fields)))
        return Batch(tuple(items), self._cursor_at(through), now, gap is not None, (gap.missed or 0) if gap else 0)

    def _yield_turn(self) -> None:
        """Pause for a moment, one follower at a time, so that the rest of the hub gets to run."""
        with self._turn:
            time.sleep(_YIELD)

    def _cursor_at(self, offset: int) -> Cursor:
        return self._history.cursor(offset)

    def _wait_for_events(self) -> bool:
        """Wait for new events once all are delivered; False to end the thread."""
        here = str(self._cursor_at(self._offset))
        moved = self._saved != here
        if moved:
            self._save(here, now=False)
            moved = self._saved != here
        self._recovered()
        if self._finishing:
            return False
        pause = self._checked_at + _CHECK_INTERVAL - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        self._new.wait(_SAVE_INTERVAL if moved else None)
        self._checked_at = time.monotonic()
        return True


class _OnStandby(Exception):
    """Another process has the target."""


def _fitting(records: list[Record], size: int) -> list[Record]:
    """The first of `records` that have at most `size` bytes together; at least one, if there is any."""
    total = 0
    for number, record in enumerate(records):
        total += len(record.data)
        if total > size and number:
            return records[:number]
    return records
