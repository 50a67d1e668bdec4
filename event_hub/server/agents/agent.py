"""One agent: its program through starts, crashes, restarts and the stop, following the table in `states`."""

from __future__ import annotations

import logging
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from .mask import LONGEST_SENTENCE, Mask, address, sentence
from .modes import mode_of
from .program import ProcessExit, Program
from .record import AgentRecord, Folder
from .states import LIVE, RUNNING, State, Trigger, follow

logger = logging.getLogger(__name__)

BACKOFF = (0.5, 2.0, 8.0)
"""Seconds before the first, second and third restart within `MINUTE`. There is no fourth."""
MINUTE = 60.0
SLOW = 15.0
"""Seconds after which the status of an agent that is not ready has a hint."""
RECENT = 10.0
"""Seconds for which an error that a program reports explains its end."""
WRONG_SETTINGS = 2
"""The exit code of a program that would fail the same way again."""


class Agent:
    """One agent. `publish` takes an event; `environ` returns the environment for its program."""

    def __init__(
        self,
        record: AgentRecord,
        folder: Folder,
        mask: Mask,
        *,
        publish: Callable[[dict[str, Any]], None],
        environ: Callable[[AgentRecord], dict[str, str]],
    ) -> None:
        self.record = record
        self.adopted = False
        """An earlier hub started its program."""
        self.log = folder.log(record.agent_id)
        self._folder = folder
        self._mask = mask
        self._publish = publish
        self._environ = environ
        self._program: Program | None = None
        self._due = 0.0
        """When to kill it, while it is stopping; when to start it again, while it is restarting."""
        self._restarted: deque[float] = deque(maxlen=len(BACKOFF))
        self._reported: tuple[str, float] | None = None
        """The error that its program reported last, and when."""
        self._killed = False
        self._unsaved = False
        self._saved: AgentRecord | None = None

    @property
    def live(self) -> bool:
        return self.record.state in LIVE

    @property
    def settled(self) -> bool:
        """Whether no change is expected soon."""
        return self.record.state is State.READY or not self.live

    # -- commands of the launcher --------------------------------------------------------------------------------------

    def launch(self) -> None:
        """Start the program. Raises OSError, and ValueError if its arguments or environment cannot be passed to it.

        The record is written first, so that the program is found even if the hub is killed right after; without a
        record there is no first start.
        """
        record = self.record
        record.pid, record.created = None, 0.0
        record.error = record.last_line = record.address = None
        if record.restarts:
            self._save()
        else:
            self._folder.write(record)
        self._program = Program.start(record.command, self._environ(record), self.log)
        self.adopted = False
        self._reported = None
        record.pid, record.created = self._program.pid, self._program.created
        self._save()
        self._announce("agent_process_started", pid=record.pid, mode=record.mode, restarts=record.restarts)

    def adopt(self, grace: float) -> None:
        """Take over the program that an earlier hub started, or report that it is gone."""
        record = self.record
        if record.state not in RUNNING:
            return  # it is over, or waits for its restart, which `poll` does
        self._program = Program.find(record.agent_id, record.command, record.pid, record.created)
        if self._program is None:
            Program.sweep(record.agent_id)
            record.exit_code = None
            record.error = "It ended while no hub was running, so its exit code is unknown; its log may say why."
            self._leave(Trigger.GONE, None, "gone")
            return
        self.adopted = True
        record.pid, record.created = self._program.pid, self._program.created
        self._save()
        self._announce("agent_process_started", pid=record.pid, mode=record.mode, restarts=record.restarts, found=True)
        if record.state is State.STOPPING:
            self.stop(grace)

    def poll(self) -> None:
        """Check on the program and act on what has changed. Called a few times a second."""
        clock = time.monotonic()
        state = self.record.state
        if self._unsaved:
            self._save()
        if state in RUNNING and self._program is not None:
            ended = self._program.poll()
            if ended is not None:
                self._handle_exit(ended)
                return
            self.log.cut()
            if state is State.STOPPING and clock >= self._due:
                self._killed = True
                self._program.kill()
        elif state is State.RESTARTING and clock >= self._due:
            self._restart()
        else:
            self.log.cut()  # a process that escaped may still write to it

    def stop(self, grace: float) -> None:
        """Ask it to end; after `grace` seconds it is killed, with every process that it has started."""
        due = time.monotonic() + grace
        before = self.record.state
        if before is State.RESTARTING:  # no program is running
            self._leave(Trigger.STOP, self.record.exit_code, "stopped")
        elif before is State.STOPPING and self._due:
            self._due = min(self._due, due)  # it was asked before
        elif self._follow(Trigger.STOP):
            self._due = due
            if self._program is not None:
                self._program.terminate()

    def forget_restart(self) -> None:
        """Do not start it again after it ends, neither by this hub nor by the next one."""
        self.record.restart = "on-failure"
        self.record.from_setting = False
        self._save()

    def report_ready(self, message: object, url: object = None) -> None:
        """Its program reports ready, and a service the `url` at which it serves."""
        if self.record.state in RUNNING:
            self.record.message, self.record.error = sentence(message, self._mask), None
            self.record.address = address(url, self._mask) or self.record.address
            self.record.last_line = None
            self._reported = None
            self._follow(Trigger.REPORTED_READY)

    def report_error(self, message: object) -> None:
        """Its program reports an error after which it cannot go on."""
        text = sentence(message, self._mask)
        if self.record.state in RUNNING and text:
            self._reported = text, time.monotonic()
            self.record.error = text
            self._save()

    def fail_start(self, why: str) -> None:
        """Record why a hub could not start it again, for the status."""
        self.record.error, self.record.last_line = f"It could not be started again: {why}", None
        self._save()

    def facts(self, *, logs: bool = True) -> dict[str, Any]:
        """Its entry in the status, without the log. `logs`: `error` ends with the log's last line."""
        record, running = self.record, self.record.state in RUNNING
        return {
            "agent_id": record.agent_id,
            "mode": record.mode,
            "room": record.room,
            "pid": record.pid if running else None,
            "address": record.address if running else None,
            "status": record.state,
            "since": record.since,
            "started": record.started,
            "restart": record.restart,
            "restarts": record.restarts,
            "exit_code": record.exit_code,
            "error": self._error() if logs else record.error,
            "hint": self._hint(),
            "message": record.message,
            "note": record.note,
            "found": self.adopted,
        }

    def lines(self, count: int) -> list[str]:
        """The last lines of its log."""
        return self.log.tail(count, self._mask)

    # -- changes -------------------------------------------------------------------------------------------------------

    def _handle_exit(self, ended: ProcessExit) -> None:
        """The program has ended: end what it left behind, and follow the table."""
        assert self._program is not None
        self._program.kill()
        self._program = None
        Program.sweep(self.record.agent_id)
        self.log.cut()
        record, code = self.record, ended.code
        was_ready, always = record.state is State.READY, record.restart == "always"
        record.exit_code = code
        if record.state is State.STOPPING:
            record.error = record.last_line = None  # it ended on request, whatever went wrong before
            self._leave(Trigger.ENDED, code, "killed" if self._killed else "stopped")
        elif code == 0:
            if not was_ready:  # LiveKit's own command line exits with 0 if it cannot reach its server
                self._explain("It ended by itself before it was ready (exit code 0)")
            else:
                record.error = None
            if always:
                self._schedule_restart(Trigger.AGAIN, code, "finished")
            else:
                self._leave(Trigger.ENDED, code, "finished")
        elif code is None and not always and not mode_of(record.mode).service:
            record.error = "It ended; its exit code is unknown, because an earlier hub started it. Its log may say why."
            self._leave(Trigger.GONE, code, "gone")
        else:
            self._explain(_ending(code, was_ready))
            if code == WRONG_SETTINGS:
                self._leave(Trigger.GAVE_UP, code, "wrong settings")
            else:
                self._schedule_restart(Trigger.FAILED, code, "crashed")

    def _schedule_restart(self, trigger: Trigger, code: int | None, why: str) -> None:
        clock, record = time.monotonic(), self.record
        recent = [at for at in self._restarted if clock - at < MINUTE]
        if len(recent) == len(BACKOFF):
            ended = "crashed" if trigger is Trigger.FAILED else "ended"
            record.error = f"It {ended} {len(recent) + 1} times within a minute and is not started again" + (
                f": {record.error}" if record.error else "."
            )
            self._leave(Trigger.GAVE_UP, code, why)
            logger.error("agent %s: %s", record.agent_id, self._error())
        else:
            self._due = clock + BACKOFF[len(recent)]
            self._leave(trigger, code, why)

    def _restart(self) -> None:
        """The pause is over: start the program again."""
        self._restarted.append(time.monotonic())
        self.record.restarts += 1
        self._follow(Trigger.DUE)
        try:
            self.launch()
        except (OSError, ValueError, LookupError) as error:
            self.fail_start(reason(error))
            self._leave(Trigger.GAVE_UP, None, "crashed")

    def _leave(self, trigger: Trigger, code: int | None, why: str) -> None:
        """Follow the table, and announce that the program has ended."""
        self._follow(trigger)
        error = {"error": self.record.error} if self.record.error else {}  # public, so without a line of the log
        self._announce("agent_process_exited", code=code, reason=why, status=self.record.state, **error)

    def _follow(self, trigger: Trigger) -> bool:
        """Move to the next state and save it; False if the table has none."""
        record = self.record
        after = follow(record.state, trigger)
        if after is None:
            return False
        if after is not record.state:
            record.state, record.since = after, time.time()
        self._save()
        return True

    def _save(self) -> None:
        """Write the record if it has changed."""
        if self.record == self._saved:
            return
        try:
            self._folder.write(self.record)
            self._saved, self._unsaved = msgspec.structs.replace(self.record), False
        except (OSError, ValueError) as error:
            if not self._unsaved:
                logger.warning("the record of agent %s cannot be written: %s", self.record.agent_id, reason(error))
            self._unsaved = True

    def _announce(self, kind: str, **fields: Any) -> None:
        """Publish an event about it."""
        room = {"room": self.record.room} if self.record.room else {}
        self._publish({"type": kind, "agent": self.record.agent_id, **fields, **room})

    def _explain(self, how: str) -> None:
        """Record why it ended: the error that it has just reported, otherwise `how` and the last line of its log."""
        record = self.record
        if self._reported is not None and time.monotonic() - self._reported[1] < RECENT:
            record.error, record.last_line = self._reported[0], None
        else:
            last = self.lines(1)
            record.error, record.last_line = how, (last[0][:LONGEST_SENTENCE] if last else "")

    def _error(self) -> str | None:
        """What is wrong, with the last line of its log, for those who may read logs."""
        error, last = self.record.error, self.record.last_line
        if error is None or last is None:
            return error
        return f"{error}: {last}" if last else f"{error}, and its log is empty."

    def _hint(self) -> str | None:
        """What to do about an agent that is slow to get ready."""
        record = self.record
        waited = time.time() - record.since
        if record.state is not State.STARTING or waited < SLOW:
            return None
        return (
            f"Not ready after {waited:.0f} s: look at its log (/api/agent/logs?agent_id={record.agent_id}). "
            "A program of your own reports ready with event_hub.livekit.report_ready(). The hub keeps waiting."
        )


def reason(error: Exception) -> str:
    """Why something cannot be started or written, in words for users."""
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")


def _ending(code: int | None, was_ready: bool) -> str:
    """How the program ended."""
    when = "" if was_ready else " before it was ready"
    if code is None:
        return "It ended with an unknown exit code"
    return f"It was ended by {_signal(-code)}{when}" if code < 0 else f"It exited with code {code}{when}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
