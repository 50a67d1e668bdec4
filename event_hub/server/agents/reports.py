"""What agent programs report of themselves, read from the events that they publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

REPORTS = frozenset({"agent_ready", "agent_error"})
"""The types of events by which programs report."""


class Report(msgspec.Struct):
    """The fields of an event in `REPORTS` that matter here. Programs write them, so each can be of any type."""

    type: str
    agent_id: Any = None
    message: Any = None
    address: Any = None
    recoverable: Any = None

    @property
    def ready(self) -> bool:
        return self.type == "agent_ready"


_decode = msgspec.json.Decoder(Report).decode


def latest(batch: Sequence[bytes]) -> list[Report]:
    """Of these events (the JSON of each) the last report of each kind for each agent, in order.

    An error counts only if the program cannot go on. Raises msgspec.DecodeError for data that is not an event.
    """
    reports: dict[tuple[str, bool], Report] = {}
    for data in reversed(batch):
        report = _decode(data)
        if isinstance(report.agent_id, str) and (report.ready or report.recoverable is False):
            reports.setdefault((report.agent_id, report.ready), report)
    return list(reversed(reports.values()))
