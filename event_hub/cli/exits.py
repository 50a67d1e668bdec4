"""How a command ends: exit codes, signals, and one sentence on stderr if it fails."""

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
from .terminal_text import escape

SUCCESS = 0
FAILURE = 1
"""The hub refused the request, or the input is invalid."""
USAGE_ERROR = 2
UNREACHABLE = 3
"""No response, or not from a hub."""
INTERRUPTED = 130
"""Ctrl-C: the code that a shell reports for a program ended by SIGINT."""
TERMINATED = 143
"""SIGTERM."""

_RESEND_DELAY = 0.01
"""Seconds after which a lost signal is sent again."""

P = ParamSpec("P")


class CommandStopped(BaseException):
    """Ends the command: Ctrl-C, SIGTERM, or the reader of its output has gone. Derives from BaseException so that no
    `except Exception` catches it."""

    def __init__(self, code: int, signal_number: int) -> None:
        super().__init__(code)
        self.code = code
        self.signal_number = signal_number


class CommandFailed(Exception):
    """Ends the command with an error. The text is a sentence or two that say what to do; `code` is the exit code."""

    def __init__(self, text: str, code: int = FAILURE) -> None:
        super().__init__(text)
        self.code = code


def write_stderr(text: str) -> None:
    """Write a line to stderr, if it is still open."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(escape(text, keep="\n") + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def exit_code(error: HubError) -> int:
    """The exit code for an error of the hub or of the connection."""
    return UNREACHABLE if isinstance(error, Unreachable | NotAHub) else FAILURE


def error_text(error: HubError) -> str:
    """What went wrong and what to do."""
    text = str(error)
    if isinstance(error, Refused) and error.advice and error.advice not in text:
        text = f"{text.rstrip('.')}. {error.advice}"
    return text


def with_exit_code(function: Callable[P, int | None]) -> Callable[P, int]:
    """Decorate the body of a command: signals end it, and exceptions become a sentence on stderr and an exit code."""

    @functools.wraps(function)
    def body(*arguments: P.args, **options: P.kwargs) -> int:
        try:
            with _signals_stop_command():
                return function(*arguments, **options) or SUCCESS
        except CommandStopped as stopped:
            if stopped.code == SUCCESS:
                _discard_stdout()
            return stopped.code
        except BrokenPipeError:
            _discard_stdout()
            return SUCCESS
        except CommandFailed as failed:
            write_stderr(f"event-hub: {failed}")
            return failed.code
        except HubError as error:
            write_stderr(f"event-hub: {error_text(error)}")
            return exit_code(error)
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            write_stderr(f"event-hub: {name}{error.strerror or error}")
            return FAILURE

    return body


@contextmanager
def _signals_stop_command() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGUSR1 (see `stop_when_reader_closes`) raise `CommandStopped` in the main thread."""
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    if hasattr(signal, "SIGUSR1"):
        codes[signal.SIGUSR1] = SUCCESS

    def stop(number: int, _frame: Any) -> None:
        raise CommandStopped(codes[signal.Signals(number)], number)

    previous = {number: signal.getsignal(number) for number in codes}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:  # nohup and background commands of a script ignore signals
            signal.signal(number, stop)
    show = sys.unraisablehook
    running = True

    def swallowed(unraisable: sys.UnraisableHookArgs) -> None:
        """The signal arrived in a destructor, which discards exceptions: send it again."""
        if not isinstance(unraisable.exc_value, CommandStopped):
            show(unraisable)
            return
        number = unraisable.exc_value.signal_number

        def resend() -> None:
            if running:
                _signal_main_thread(number)

        timer = threading.Timer(_RESEND_DELAY, resend)
        timer.daemon = True
        timer.start()

    sys.unraisablehook = swallowed
    try:
        yield
    finally:
        running = False
        for number, handler in previous.items():
            # The reader may go away while the process exits, which must not kill it.
            signal.signal(number, signal.SIG_IGN if codes[number] == SUCCESS else handler)


def _signal_main_thread(number: int) -> None:
    """Send a signal to the main thread, which interrupts whatever it waits for."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, number)


def stop_when_reader_closes() -> None:
    """From now on, end the command as soon as its stdout is closed at the other end, even if it has nothing to write.

    Otherwise `tail | head -1` would wait for the next event, which may never come. SIGUSR1 interrupts the main thread;
    SIGPIPE would not do, because it is also raised when the hub closes a connection. On Windows, where this cannot be
    detected, the command ends at its next write.
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
        poll.register(descriptor, 0)  # errors and hang-ups are always reported
        poll.poll()
        _signal_main_thread(signal.SIGUSR1)

    threading.Thread(target=watch, name="reader-watch", daemon=True).start()


def _discard_stdout() -> None:
    """Redirect stdout to /dev/null, so that Python's final flush does not fail on the closed pipe."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        pass
