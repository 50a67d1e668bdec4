"""The exceptions behind an exception: HTTP libraries wrap the one that names the cause in several of their own."""

from __future__ import annotations

from typing import Any

_LIMIT = 20


def causes(error: BaseException) -> list[BaseException]:
    """`error` and every exception behind it, the innermost last.

    Follows `__cause__`, `__context__`, exceptions passed as arguments (as `requests` does) and a `reason` attribute (as
    `urllib3` does).
    """
    found: list[BaseException] = []
    pending: list[Any] = [error]
    while pending and len(found) < _LIMIT:
        candidate = pending.pop()
        if isinstance(candidate, BaseException) and candidate not in found:
            found.append(candidate)
            pending += [
                *candidate.args,
                getattr(candidate, "reason", None),
                candidate.__cause__,
                candidate.__context__,
            ]
    return found


def timed_out(error: BaseException) -> bool:
    """Whether `error` or any exception behind it is a timeout."""
    return any(isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in causes(error))
