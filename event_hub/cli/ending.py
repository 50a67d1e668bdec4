"""How a command ends: the exit codes, the signals, and one sentence on stderr where it fails."""

from __future__ import annotations

import functools
import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec

from ..client import HubError, NotAHub, Refused, Unreachable
from .plain import plain

DONE = 0
FAILED = 1
"""The hub has refused, or what was given is broken."""
USAGE = 2
UNREACHABLE = 3
"""Nobody answers, or what answers is no hub."""
INTERRUPTED = 130
"""Ctrl-C: what a shell reports for a program that SIGINT has ended."""
TERMINATED = 143

_AGAIN = 0.01
"""Seconds after which a signal that was lost comes once more."""

P = ParamSpec("P")


class Ended(BaseException):
    """The command is to end now: Ctrl-C, SIGTERM, or nobody reads its output any more. No error, so that no
    `except Exception` on the way keeps it."""

    def __init__(self, code: int, number: int) -> None:
        super().__init__(code)
        self.code = code
        self.number = number


class Failed(Exception):
    """The command fails. The text is a sentence or two and says what to do; `code` is the exit code."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code


def say(text: str) -> None:
    """A line on stderr. That nobody reads it any more does not matter."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(plain(text, keep="\n") + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def exit_code(error: HubError) -> int:
    """The exit code for what the hub, or the way to it, has answered."""
    return UNREACHABLE if isinstance(error, Unreachable | NotAHub) else FAILED


def describe(error: HubError) -> str:
    """What has gone wrong, and what to do."""
    text = str(error)
    if isinstance(error, Refused) and error.advice and error.advice not in text:
        text = f"{text.rstrip('.')}. {error.advice}"
    return text


def command_body(function: Callable[P, int | None]) -> Callable[P, int]:
    """Give the body of a command its end: signals end it, what it raises becomes a sentence and an exit code."""

    @functools.wraps(function)
    def body(*arguments: P.args, **options: P.kwargs) -> int:
        try:
            with _signals():
                return function(*arguments, **options) or DONE
        except Ended as ended:
            if ended.code == DONE:
                _hush()
            return ended.code
        except BrokenPipeError:
            _hush()
            return DONE
        except Failed as failed:
            say(f"event-hub: {failed}")
            return failed.code
        except HubError as error:
            say(f"event-hub: {describe(error)}")
            return exit_code(error)
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            say(f"event-hub: {name}{error.strerror or error}")
            return FAILED

    return body


@contextmanager
def _signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a gone reader raise `Ended` in the main thread, wherever it waits."""
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    if hasattr(signal, "SIGUSR1"):
        codes[signal.SIGUSR1] = DONE

    def end(number: int, _frame: Any) -> None:
        raise Ended(codes[signal.Signals(number)], number)

    before = {number: signal.getsignal(number) for number in codes}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # so are they where a script runs a command in the background, or nohup
            signal.signal(number, end)
    show = sys.unraisablehook
    under_way = True

    def swallowed(what: sys.UnraisableHookArgs) -> None:
        """A signal came while a destructor ran, which lets nothing out: it comes once more in a moment."""
        if not isinstance(what.exc_value, Ended):
            show(what)
            return
        number = what.exc_value.number

        def again() -> None:
            if under_way:
                _wake(number)

        timer = threading.Timer(_AGAIN, again)
        timer.daemon = True
        timer.start()

    sys.unraisablehook = swallowed
    try:
        yield
    finally:
        under_way = False
        for number, handler in before.items():
            # The reader may go away while the process ends: that must not kill it.
            signal.signal(number, signal.SIG_IGN if codes[number] == DONE else handler)


def _wake(number: int) -> None:
    """Send the main thread a signal, which ends whatever it waits for."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, number)


def end_with_reader() -> None:
    """From now on the command ends as soon as nobody reads its stdout any more, even if it has nothing to write.

    `tail | head -1` would otherwise wait for the next event, which may never come. SIGUSR1 wakes the main thread (SIGPIPE
    would do as well, but it also comes when the hub closes a connection). Windows cannot tell: there the next write
    notices.
    """
    if not hasattr(select, "poll"):
        return
    try:
        descriptor = sys.stdout.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError, AttributeError):
        return
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # an error or a hang-up is always reported, asked for or not
        poll.poll()
        _wake(signal.SIGUSR1)

    threading.Thread(target=watch, name="reader-watch", daemon=True).start()


def _hush() -> None:
    """Nobody reads stdout: let Python's last flush go nowhere instead of failing."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        pass
