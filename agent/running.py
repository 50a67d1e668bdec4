"""The program around an agent: one event loop, and an orderly shutdown on SIGTERM and Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from types import FrameType

logger = logging.getLogger("agent")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def exit_on_signals() -> None:
    """Exit with code 0 at the first signal. For the seconds in which modules are imported; `run` replaces it."""
    for number in _SIGNALS:
        signal.signal(number, _exit)


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main` with an event that the first SIGTERM or Ctrl-C sets. A second one exits at once, with code 1."""
    asyncio.run(_run(main))


async def _run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            sys.exit(1)
        loop.call_soon_threadsafe(_stop, stop, number)

    # Not loop.add_signal_handler, which Windows lacks; call_soon_threadsafe wakes the loop just as well.
    for number in _SIGNALS:
        signal.signal(number, on_signal)
    await main(stop)


def _stop(stop: asyncio.Event, number: int) -> None:
    logger.info("%s: shutting down", signal.Signals(number).name)
    stop.set()


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


async def until_stopped(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Await `work`, cancelled once `stop` is set. Raises what it raises."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    if not task.cancelled():
        task.result()
