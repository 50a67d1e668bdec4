"""What led to an exception: libraries wrap the one that says why in several of their own."""

from __future__ import annotations

from typing import Any

_ENOUGH = 20


def causes(error: BaseException) -> list[BaseException]:
    """`error`, then all that led to it, the innermost towards the end: what it was raised from or during, what it holds
    as an argument (`requests`) or as its `reason` (`urllib3`)."""
    seen: list[BaseException] = []
    todo: list[Any] = [error]
    while todo and len(seen) < _ENOUGH:
        one = todo.pop()
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            todo += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return seen


def timed_out(error: BaseException) -> bool:
    """Whether anything that led to `error` was a limit of time."""
    return any(isinstance(one, TimeoutError) or "Timeout" in type(one).__name__ for one in causes(error))
