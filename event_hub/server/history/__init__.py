"""What is kept, and where: one contract (`base.History`), a backend each for `memory:` and `sqlite://`."""

from __future__ import annotations

from pathlib import Path

from .base import Appended, Draft, Epochs, History, HistoryError, Page, Record, Retention
from .memory import MemoryHistory

__all__ = ["Appended", "Draft", "Epochs", "History", "HistoryError", "Page", "Record", "Retention", "open_history"]


def open_history(url: str, retention: Retention) -> History:
    """The history that `url` names (`memory:`, `sqlite:///relative`, `sqlite:////absolute`); raises `HistoryError`."""
    if url == "memory:":
        return MemoryHistory(retention)
    if url.startswith("sqlite:///"):
        from .sqlite import SQLiteHistory

        return SQLiteHistory(Path(url.removeprefix("sqlite:///")), retention)
    raise HistoryError(f"HUB_HISTORY={url} is no history: write memory: or sqlite:///var/hub.db")
