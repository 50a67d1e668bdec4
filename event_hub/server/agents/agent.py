"""One agent: its program through starts, crashes, restarts and the stop, by the table in `states`."""

from __future__ import annotations

import logging
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from .mask import LONGEST_SENTENCE, Mask, sentence
from .program import Ended, Program
from .record import Folder, Record
from .states import LIVE, RUNNING, State, Trigger, follow

logger = logging.getLogger(__name__)

BACKOFF = (0.5, 2.0, 8.0)
"""Seconds before the first, second and third restart within …"""
MINUTE = 60.0
"""… so many seconds; there is no fourth."""
SLOW = 15.0
"""Seconds after which the status of an agent that is not ready says what to do."""
RECENT = 10.0
"""Seconds after which what a program has reported is no longer why it ended."""
WRONG_SETTINGS = 2
"""The exit code of a program that would fail the same way again."""


class Agent:
    """One agent. `say` publishes an event; `environ` gives the environment for its program."""

    def __init__(
        self,
        record: Record,
        folder: Folder,
        mask: Mask,
        *,
        say: Callable[[dict[str, Any]], None],
        environ: Callable[[Record], dict[str, str]],
    ) -> None:
        self.record = record
        self.found = False
        """An earlier hub has started its program."""
        self.log = folder.log(record.agent_id)
        self._folder = folder
        self._mask = mask
        self._say = say
        self._environ = environ
        self._program: Program | None = None
        self._due = 0.0
        """When to kill, while it is stopping; when to try again, while it is restarting."""
        self._restarted: deque[float] = deque(maxlen=len(BACKOFF))
        self._reported: tuple[str, float] | None = None
        """What its program says is wrong, and when it said so."""
        self._killed = False
        self._unsaved = False
        self._written: Record | None = None

    @property
    def live(self) -> bool:
        return self.record.state in LIVE

    @property
    def settled(self) -> bool:
        """Nothing is expected to happen soon."""
        return self.record.state is State.READY or not self.live

    # -- what the launcher does ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the program; raises OSError, and ValueError where its words or its environment cannot be handed over.
        The record is written before, so that the program is found, whenever the hub is killed: without a record there
        is no first start."""
        record = self.record
        record.pid, record.created = None, 0.0
        record.error = record.last_line = None
        if record.restarts:
            self._save()
        else:
            self._folder.write(record)
        self._program = Program.start(record.command, self._environ(record), self.log)
        self.found = False
        self._reported = None
        record.pid, record.created = self._program.pid, self._program.created
        self._save()
        self._tell("agent_process_started", pid=record.pid, mode=record.mode, restarts=record.restarts)

    def adopt(self, grace: float) -> None:
        """Take over the program of an earlier hub, or say that it is gone."""
        record = self.record
        if record.state not in RUNNING:
            return  # over, or about to be restarted: `look` does that
        self._program = Program.find(record.agent_id, record.command, record.pid, record.created)
        if self._program is None:
            Program.sweep(record.agent_id)
            record.exit_code = None
            record.error = "It ended while no hub was running, nobody knows with what exit code: its log may say why."
            self._exited(Trigger.GONE, None, "gone")
            return
        self.found = True
        record.pid, record.created = self._program.pid, self._program.created
        self._save()
        self._tell("agent_process_started", pid=record.pid, mode=record.mode, restarts=record.restarts, found=True)
        if record.state is State.STOPPING:
            self.stop(grace)

    def look(self) -> None:
        """See what has happened; called a few times a second."""
        clock = time.monotonic()
        state = self.record.state
        if self._unsaved:
            self._save()
        if state in RUNNING and self._program is not None:
            ended = self._program.poll()
            if ended is not None:
                self._over(ended)
                return
            self.log.cut()
            if state is State.STOPPING and clock >= self._due:
                self._killed = True
                self._program.kill()
        elif state is State.RESTARTING and clock >= self._due:
            self._again()
        else:
            self.log.cut()  # something that got away may go on writing

    def stop(self, grace: float) -> None:
        """Ask it to end; after `grace` seconds it is killed with all that it has started."""
        due = time.monotonic() + grace
        before = self.record.state
        if before is State.RESTARTING:  # no program runs
            self._exited(Trigger.STOP, self.record.exit_code, "stopped")
        elif before is State.STOPPING and self._due:
            self._due = min(self._due, due)  # it has been asked
        elif self._step(Trigger.STOP):
            self._due = due
            if self._program is not None:
                self._program.terminate()

    def reported_ready(self, message: object) -> None:
        """Its program says that it is ready."""
        if self.record.state in RUNNING:
            self.record.message, self.record.error = sentence(message, self._mask), None
            self.record.last_line = None
            self._reported = None
            self._step(Trigger.REPORTED_READY)

    def reported_error(self, message: object) -> None:
        """Its program says what is wrong, once and for all."""
        said = sentence(message, self._mask)
        if self.record.state in RUNNING and said:
            self._reported = said, time.monotonic()
            self.record.error = said
            self._save()

    def facts(self, *, logs: bool = True) -> dict[str, Any]:
        """What the status says of it, less the lines of its log; `logs`: its `error` ends with the last one."""
        record = self.record
        return {
            "agent_id": record.agent_id,
            "mode": record.mode,
            "room": record.room,
            "pid": record.pid if record.state in RUNNING else None,
            "status": record.state,
            "since": record.since,
            "started": record.started,
            "restarts": record.restarts,
            "exit_code": record.exit_code,
            "error": self._error() if logs else record.error,
            "hint": self._hint(),
            "message": record.message,
            "note": record.note,
            "found": self.found,
        }

    def lines(self, count: int) -> list[str]:
        """The last lines of its log."""
        return self.log.tail(count, self._mask)

    # -- what happens to it --------------------------------------------------------------------------------------------

    def _over(self, ended: Ended) -> None:
        """The program has ended: so does what it has left, and the table says what comes next."""
        assert self._program is not None
        self._program.kill()
        self._program = None
        Program.sweep(self.record.agent_id)
        self.log.cut()
        record, code = self.record, ended.code
        was_ready = record.state is State.READY
        record.exit_code = code
        if record.state is State.STOPPING:
            record.error = record.last_line = None  # whatever it was, it is over on purpose
            self._exited(Trigger.ENDED, code, "killed" if self._killed else "stopped")
        elif code == 0:
            if not was_ready:  # LiveKit's own command line ends so where it cannot reach its server
                self._why("It ended by itself before it was ready (exit code 0)")
            else:
                record.error = None
            self._exited(Trigger.ENDED, code, "finished")
        elif code is None and record.mode != "worker":
            record.error = (
                "It has ended, nobody knows with what exit code: an earlier hub had started it. Its log may say why."
            )
            self._exited(Trigger.GONE, code, "gone")
        else:
            self._why(_ending(code, was_ready))
            if code == WRONG_SETTINGS:
                self._exited(Trigger.GAVE_UP, code, "wrong settings")
            else:
                self._crashed(code)

    def _crashed(self, code: int | None) -> None:
        clock, record = time.monotonic(), self.record
        recent = [at for at in self._restarted if clock - at < MINUTE]
        if len(recent) == len(BACKOFF):
            record.error = (
                f"It crashed {len(recent) + 1} times within a minute and is not started again: {record.error}"
            )
            self._exited(Trigger.GAVE_UP, code, "crashed")
            logger.error("agent %s: %s", record.agent_id, self._error())
        else:
            self._due = clock + BACKOFF[len(recent)]
            self._exited(Trigger.FAILED, code, "crashed")

    def _again(self) -> None:
        """The pause is over."""
        self._restarted.append(time.monotonic())
        self.record.restarts += 1
        self._step(Trigger.DUE)
        try:
            self.begin()
        except (OSError, ValueError, LookupError) as error:
            self.record.error = f"It could not be started again: {reason(error)}"
            self._exited(Trigger.GAVE_UP, None, "crashed")

    def _exited(self, trigger: Trigger, code: int | None, why: str) -> None:
        self._step(trigger)
        error = {"error": self.record.error} if self.record.error else {}  # for everybody: no line of its log
        self._tell("agent_process_exited", code=code, reason=why, status=self.record.state, **error)

    def _step(self, trigger: Trigger) -> bool:
        """Whether the table knows this; the next state is written down."""
        record = self.record
        after = follow(record.state, trigger)
        if after is None:
            return False
        if after is not record.state:
            record.state, record.since = after, time.time()
        self._save()
        return True

    def _save(self) -> None:
        """Write the record down, if there is anything new in it."""
        if self.record == self._written:
            return
        try:
            self._folder.write(self.record)
            self._written, self._unsaved = msgspec.structs.replace(self.record), False
        except (OSError, ValueError) as error:
            if not self._unsaved:
                logger.warning("agent %s cannot be written down: %s", self.record.agent_id, reason(error))
            self._unsaved = True

    def _tell(self, kind: str, **fields: Any) -> None:
        room = {"room": self.record.room} if self.record.room else {}
        self._say({"type": kind, "agent": self.record.agent_id, **fields, **room})

    def _why(self, how: str) -> None:
        """Say why it has ended: as it has just said itself, or else `how`, with the last line of its log."""
        record = self.record
        if self._reported is not None and time.monotonic() - self._reported[1] < RECENT:
            record.error, record.last_line = self._reported[0], None
        else:
            last = self.lines(1)
            record.error, record.last_line = how, (last[0][:LONGEST_SENTENCE] if last else "")

    def _error(self) -> str | None:
        """What is wrong, with the last line of its log, for who may see that."""
        error, last = self.record.error, self.record.last_line
        if error is None or last is None:
            return error
        return f"{error}: {last}" if last else f"{error}, and its log is empty."

    def _hint(self) -> str | None:
        """What to do about an agent that takes long."""
        record = self.record
        waited = time.time() - record.since
        if record.state is not State.STARTING or waited < SLOW:
            return None
        return (
            f"It has not reported that it is ready for {waited:.0f} s: look at its log (/api/agent/logs?agent_id="
            f"{record.agent_id}). A program of your own says it with event_hub.livekit.report_ready(); it is waited for."
        )


def reason(error: Exception) -> str:
    """Why something cannot be started or written, for people."""
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")


def _ending(code: int | None, was_ready: bool) -> str:
    """How it has ended."""
    when = "" if was_ready else " before it was ready"
    if code is None:
        return "It ended, nobody knows with what exit code"
    return f"It was ended by {_signal(-code)}{when}" if code < 0 else f"It exited with code {code}{when}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
