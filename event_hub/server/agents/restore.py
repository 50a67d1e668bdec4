"""Which agents a new hub starts by itself, decided from its settings and the records of earlier hubs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .modes import AutoStart
from .record import AgentRecord


class Pending(NamedTuple):
    """An agent to start. `agent_id`: the earlier agent that it continues."""

    key: AutoStart
    instructions: str | None = None
    agent_id: str | None = None
    from_setting: bool = False


def to_restore(setting: Iterable[AutoStart], records: Sequence[AgentRecord]) -> list[Pending]:
    """Those that HUB_AGENTS names, then those that were started with `restart: always`; each mode and room once.

    `records`: oldest first; of several with the same mode and room only the newest counts. Agents that are still running
    are included; the caller skips them.
    """
    newest = {record.key: record for record in records}
    pending = {key: Pending(key, from_setting=True) for key in setting}
    for key, record in newest.items():
        requested = record.restart == "always" and not record.from_setting
        if key in pending:
            pending[key] = pending[key]._replace(agent_id=record.agent_id)
        if requested:  # also if HUB_AGENTS names it: the request's instructions count, and outlive the setting
            pending[key] = Pending(key, record.instructions, record.agent_id)
    return list(pending.values())
