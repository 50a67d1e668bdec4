"""The history: one contract (`base.History`), with a backend each for `memory:`, `sqlite://` and `redis://`."""

from __future__ import annotations

from pathlib import Path

from .base import Appended, Draft, Epochs, History, HistoryError, HistoryLost, HistoryPage, Record, Retention, Stored
from .memory import MemoryHistory
from .reader import HistoryReader

__all__ = [
    "OWN_VALKEY",
    "SHARED",
    "Appended",
    "Draft",
    "Epochs",
    "History",
    "HistoryError",
    "HistoryLost",
    "HistoryPage",
    "HistoryReader",
    "Record",
    "Retention",
    "Stored",
    "open_history",
]

SHARED = ("redis://", "rediss://", "unix://", "redis+sentinel://", "redis+cluster://", "valkey://")
"""How the URL of a history begins that several processes can share."""

OWN_VALKEY = "valkey:///var/valkey"
"""The history of several processes if none is named: in a server that the hub starts."""


def open_history(url: str, retention: Retention) -> History:
    """The history that `url` names (`memory:`, `sqlite:///relative`, `sqlite:////absolute`, or an address of Valkey or Redis
    as in `valkey.address`); raises `HistoryError`."""
    if url == "memory:":
        return MemoryHistory(retention)
    if url.startswith("sqlite:///"):
        from .sqlite import SQLiteHistory

        return SQLiteHistory(Path(url.removeprefix("sqlite:///")), retention)
    if url.startswith(SHARED):
        from .valkey import ValkeyHistory

        return ValkeyHistory(url, retention)
    raise HistoryError(f"HUB_HISTORY={url} is not a history: set memory: or sqlite:///var/hub.db")
