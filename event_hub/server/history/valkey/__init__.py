"""A history in Valkey or Redis, shared by any number of hubs: `redis://`, `rediss://`, `unix://`, Sentinel, Cluster."""

from __future__ import annotations

from .history import ValkeyHistory

__all__ = ["ValkeyHistory"]
