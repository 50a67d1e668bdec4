"""Work that blocks in the kernel, off the event loop: in a thread of the operating system."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

_THREADS = 3
"""Of a pool of its own: gevent's default pool of ten also resolves host names, each of which can take a minute."""


def in_real_thread(function: Callable[[], Any]) -> Any:
    """What `function` returns, called in a thread of the operating system if gevent has patched threads, otherwise here,
    which is such a thread already. Other greenlets run meanwhile."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return function()
    result, error = _pool().apply(_outcome, (function,))
    if error is not None:
        raise error
    return result


def _outcome(function: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """gevent would print an exception that leaves its thread, with a traceback."""
    try:
        return function(), None
    except Exception as error:
        return None, error


@functools.cache
def _pool() -> Any:
    from gevent.threadpool import ThreadPool

    return ThreadPool(_THREADS)
