"""The program around an agent: one event loop, and an orderly end on SIGTERM and Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from types import FrameType

logger = logging.getLogger("agent")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def orderly_until_running() -> None:
    """While modules are loaded (seconds), a signal ends the program at once, with exit code 0."""
    for one in _SIGNALS:
        signal.signal(one, _leave)


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main` with an event that the first SIGTERM or Ctrl-C sets. The second ends the program at once, with 1."""
    asyncio.run(_run(main))


async def _run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            sys.exit(1)
        loop.call_soon_threadsafe(_stop, stop, number)

    # Not loop.add_signal_handler: this works on Windows, too, and a call here wakes the loop just as well.
    for one in _SIGNALS:
        signal.signal(one, on_signal)
    await main(stop)


def _stop(stop: asyncio.Event, number: int) -> None:
    logger.info("%s: coming to an end", signal.Signals(number).name)
    stop.set()


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


async def until_stopped(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Until `work` is done or `stop` is set, which cancels it; what it raises is raised."""
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
