"""What fails here must not be noticed by the session that we look at."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

Failed = Callable[[str, Exception], None]
"""Where it failed, and how."""

_SIGNATURE = inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])


def handler(method: Callable[..., None], failed: Failed) -> Callable[..., None]:
    """`method` as a handler of an event: what it raises goes to `failed`.

    LiveKit asks for a handler's signature at each event, which takes 15 µs unless it lies ready.
    """

    def handle(*arguments: Any) -> None:
        try:
            method(*arguments)
        except Exception as error:
            failed(method.__name__, error)

    handle.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
    return handle
