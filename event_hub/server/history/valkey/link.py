"""One connection to the server, made when it is needed and made again after it broke. It never resends a command."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .address import TIMEOUT, ServerAddress, load_redis

Call = Callable[..., Any]
_T = TypeVar("_T")

_AWAY = 1.0
"""Seconds after which a server that did not answer is asked again."""


class Silence:
    """That the server does not answer, shared by links: while one of them asks it again, the calls of the others fail at
    once. Otherwise each would wait for its own timeout, one after the other."""

    def __init__(self) -> None:
        self._silent = False
        self._began = self._retry_at = 0.0
        self._timeout_error = load_redis().exceptions.TimeoutError

    def check(self, asked: float) -> None:
        """Raise redis-py's TimeoutError for a call that was `asked` for (monotonic clock) before the server became silent,
        or before it is asked again."""
        if self._silent and (self._began > asked or time.monotonic() < self._retry_at):
            raise self._timeout_error("the server does not answer")

    def tell(self, action: Callable[[], _T], timeout: float) -> _T:
        """What `action`, which asks the server, returns."""
        if self._silent:
            self._retry_at = time.monotonic() + timeout
        silent = False
        try:
            return action()
        except self._timeout_error:
            silent = True
            raise
        finally:
            self._silent = silent
            if silent:
                self._began = time.monotonic()
                self._retry_at = self._began + _AWAY


class Link:
    """`call` sends one command and returns its answer, as bytes, integers and lists; raises redis-py's errors.

    `prepare` is called for each new connection, with a function that calls on it. Thread-safe: one call at a time.
    """

    def __init__(
        self,
        address: ServerAddress,
        prepare: Callable[[Call], None] | None = None,
        *,
        timeout: float = TIMEOUT,
        silence: Silence | None = None,
    ) -> None:
        self._address = address
        self._prepare = prepare
        self._timeout = timeout
        self._connection: Any = None
        self._lock = threading.Lock()
        self._errors = load_redis().exceptions
        self._closed = False
        self._silence = silence or Silence()

    def call(self, *words: Any) -> Any:
        asked = time.monotonic()
        with self._lock:
            self._silence.check(asked)
            return self._silence.tell(lambda: self._exchange(self._connection or self._connect(), words), self._timeout)

    def run(self, action: Callable[[Call], _T]) -> _T:
        """What `action` returns, which gets a function that calls; no other call comes in between."""
        asked = time.monotonic()
        with self._lock:
            self._silence.check(asked)
            return self._silence.tell(lambda: self._run(action), self._timeout)

    def close(self) -> None:
        """Close it, also while another thread waits for an answer: there, the call raises a ConnectionError."""
        self._closed = True
        connection = self._connection
        sock = getattr(connection, "_sock", None)
        if sock is not None:
            try:
                sock.shutdown(2)
            except OSError:
                pass
        with self._lock:
            self._drop()

    def _run(self, action: Callable[[Call], _T]) -> _T:
        connection = self._connection or self._connect()
        try:
            return action(lambda *words: self._exchange(connection, words))
        except BaseException:
            self._drop()  # it may have ended within a transaction
            raise

    def _exchange(self, connection: Any, words: Sequence[Any]) -> Any:
        try:
            connection.send_command(*words)
            return connection.read_response()
        except self._errors.ReadOnlyError:  # a failover: the next connection goes to the new primary
            self._drop()
            raise
        except self._errors.ResponseError:
            raise
        except BaseException:
            self._drop()
            raise

    def _connect(self) -> Any:
        if self._closed:
            raise self._errors.ConnectionError("the history is closed")
        connection = self._address.connection(self._timeout)
        try:
            connection.connect()
            if self._address.elected:
                _check_role(connection, self._errors)
            if self._prepare is not None:
                self._prepare(lambda *words: self._exchange(connection, words))
        except BaseException:
            connection.disconnect()
            raise
        self._connection = connection
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()


def transaction(call: Call, *commands: Sequence[Any]) -> list[Any]:
    """`commands` between MULTI and EXEC, through `call`; raises the first error among their answers."""
    call("MULTI")
    for words in commands:
        call(*words)
    answers: list[Any] = call("EXEC")
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _check_role(connection: Any, errors: Any) -> None:
    """A Sentinel can name the old primary for some seconds, which then is a replica or about to become one."""
    connection.send_command("ROLE")
    role = connection.read_response()[0]
    if role not in (b"master", "master"):
        raise errors.ReadOnlyError("the server that the Sentinel names is not the primary")
