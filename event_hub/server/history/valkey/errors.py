"""What errors of the server mean, as sentences for the operator."""

from __future__ import annotations

from typing import Any

from ..base import HistoryError
from .address import ServerAddress, load_redis


def explain(error: BaseException, address: ServerAddress) -> HistoryError:
    """The `HistoryError` for an error of redis-py's."""
    redis = load_redis().exceptions
    where = address.shown
    if isinstance(error, HistoryError):
        return error
    if isinstance(error, redis.AuthenticationError):
        return HistoryError(f"{where} refuses the user or the password in HUB_HISTORY")
    if isinstance(error, redis.NoPermissionError):
        rights = "+@all -@dangerous -@admin +info +bgrewriteaof" + (" +role" if address.elected else "")
        return HistoryError(f"{where} does not allow what a history needs: grant ~{{{address.prefix}}}:* {rights}")
    if isinstance(error, redis.OutOfMemoryError):
        return HistoryError(f"{where} is out of memory: raise its maxmemory, or lower HUB_RETENTION")
    if isinstance(error, redis.BusyLoadingError):
        return HistoryError(f"{where} is still loading its data")
    if isinstance(error, redis.ReadOnlyError):
        return HistoryError(f"{where} is a replica: HUB_HISTORY must name the server that takes writes, or a Sentinel")
    if isinstance(error, redis.TimeoutError):
        return HistoryError(f"{where} does not answer")
    if isinstance(error, (redis.ConnectionError, OSError)):
        return HistoryError(f"{where} cannot be reached: {_reason(error)}")
    if "NOREPLICAS" in str(error):
        return HistoryError(f"{where} has too few replicas to take writes (min-replicas-to-write)")
    if "MISCONF" in str(error):
        return HistoryError(f"{where} cannot save to its disk: {_reason(error)}")
    return HistoryError(f"{where} has failed: {_reason(error)}")


def is_temporary(error: BaseException) -> bool:
    """Whether the same command may succeed in a moment."""
    redis = load_redis().exceptions
    if isinstance(error, redis.AuthenticationError):
        return False
    temporary = (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.ClusterError, redis.MovedError)
    return isinstance(error, (*temporary, OSError)) or str(error).startswith(("BUSY", "MASTERDOWN", "CLUSTERDOWN"))


def asks_to_open(error: BaseException) -> bool:
    """Whether the history must be opened again: the server has restarted, or another hub has begun an epoch."""
    return isinstance(error, load_redis().exceptions.NoScriptError) or str(error).startswith(
        ("OTHEREPOCH", "NOHISTORY", "NOSCRIPT")
    )


def _reason(error: Any) -> str:
    text = str(error.strerror) if isinstance(error, OSError) and error.strerror else str(error)
    return text.split("\n", 1)[0][:200].rstrip(".") or type(error).__name__
