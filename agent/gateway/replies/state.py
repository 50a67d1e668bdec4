"""The conversations of one gateway, made at first use, with the task that forgets them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from .answering import Answering
from .conversation import Conversations

if TYPE_CHECKING:
    from ..server import Gateway

_NAME = "replies"
SWEEP = 15.0
"""Seconds between two looks for conversations to forget."""


def conversations_of(gateway: Gateway) -> Conversations:
    """The gateway's conversations."""
    found: Conversations | None = gateway.state.get(_NAME)
    if found is not None:
        return found
    made = gateway.state[_NAME] = Conversations(
        Answering(gateway.parts).answer,
        lambda id: gateway.report(session=id, participant="user", mode="gateway"),
        time.monotonic,
    )
    sweep = asyncio.create_task(_sweep(made), name="replies sweep")

    async def close() -> None:
        sweep.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweep
        await made.close()

    gateway.on_close.append(close)
    return made


async def _sweep(conversations: Conversations) -> None:
    while True:
        await asyncio.sleep(SWEEP)
        await conversations.forget()
