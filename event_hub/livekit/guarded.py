"""Callbacks that never disturb the session: what fails in them is reported, not raised."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

Failed = Callable[[str, Exception], None]
"""Receives the name of the callback that failed, and the exception."""


class _Arguments(inspect.Parameter):
    """`*args`, with attributes instead of properties: LiveKit reads them at each event."""

    __slots__ = ()
    kind = inspect.Parameter.VAR_POSITIONAL


class _AnyArguments(inspect.Signature):
    """`(*args)`, likewise: a quarter of what LiveKit's emitter takes for a handler."""

    __slots__ = ()
    parameters = {"args": _Arguments("args", inspect.Parameter.VAR_POSITIONAL)}  # type: ignore[assignment]


_SIGNATURE = _AnyArguments([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])


def handler(method: Callable[..., None], failed: Failed, name: str = "") -> Callable[..., None]:
    """`method` as an event handler whose exceptions go to `failed`, under `name`.

    LiveKit inspects a handler's signature at each event, which takes 15 µs unless `__signature__` is set.
    """

    def handle(*arguments: Any) -> None:
        try:
            method(*arguments)
        except Exception as error:
            failed(name or method.__name__, error)

    handle.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
    return handle


class Timer:
    """Calls `method` once, some seconds after it was started, on the running event loop."""

    def __init__(self, method: Callable[[], None], failed: Failed) -> None:
        self._method = handler(method, failed)
        self._handle: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        return self._handle is not None

    def start(self, seconds: float) -> None:
        """Start the timer, or start it again."""
        self.cancel()
        self._handle = asyncio.get_running_loop().call_later(seconds, self._fire)

    def cancel(self) -> None:
        handle, self._handle = self._handle, None
        if handle:
            handle.cancel()

    def _fire(self) -> None:
        self._handle = None
        self._method()
