"""The history: one contract (`base.History`), with a backend each for `memory:` and `sqlite://`."""

from __future__ import annotations

from pathlib import Path

from .base import Appended, Draft, Epochs, History, HistoryError, HistoryPage, Record, Retention, Stored
from .memory import MemoryHistory
from .reader import HistoryReader

__all__ = [
    "Appended",
    "Draft",
    "Epochs",
    "History",
    "HistoryError",
    "HistoryPage",
    "HistoryReader",
    "Record",
    "Retention",
    "Stored",
    "open_history",
]


def open_history(url: str, retention: Retention) -> History:
    """The history that `url` names (`memory:`, `sqlite:///relative`, `sqlite:////absolute`); raises `HistoryError`."""
    if url == "memory:":
        return MemoryHistory(retention)
    if url.startswith("sqlite:///"):
        from .sqlite import SQLiteHistory

        return SQLiteHistory(Path(url.removeprefix("sqlite:///")), retention)
    raise HistoryError(f"HUB_HISTORY={url} is not a history: set memory: or sqlite:///var/hub.db")
