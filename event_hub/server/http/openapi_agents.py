"""The schemas of the launcher's responses, for `openapi`."""

from __future__ import annotations

from typing import Any

from ..agents.states import State
from .json_schema import COUNT, FLAG, TEXT, array, or_null, record, ref

_COUNT_OR_NULL = or_null({"type": "integer"})
_LINES = array(TEXT)
STATE: dict[str, Any] = {"enum": [str(state) for state in State]}

SCHEMAS: dict[str, dict[str, Any]] = {
    "AgentBrief": record(
        *("room", "pid", "address", "note", "error"),
        **dict.fromkeys(("agent_id", "mode", "room", "address", "note", "error"), TEXT),
        pid=COUNT,
        status=STATE,
    ),
    "AgentsStopped": record(status={"enum": ["stopping", "stopped", "none"]}, agents=array(ref("AgentBrief"))),
    "AgentFacts": record(
        agent_id=TEXT,
        mode=TEXT,
        room=or_null(TEXT),
        pid=_COUNT_OR_NULL,
        address={**or_null(TEXT), "description": "the address of a service while it runs"},
        status=STATE,
        since={"type": "number", "description": "time of its last change of state in epoch seconds"},
        started={"type": "number", "description": "epoch seconds"},
        restart={"enum": ["on-failure", "always"]},
        restarts={**COUNT, "description": "how many times it was restarted under this id"},
        exit_code={**_COUNT_OR_NULL, "description": "of the last process; negative: the signal that ended it"},
        error={
            **or_null(TEXT),
            "description": "what is wrong, in one sentence; includes the last log line if the client may read logs",
        },
        hint={**or_null(TEXT), "description": "what to do if it takes long to become ready"},
        message={**or_null(TEXT), "description": "what it reported when it became ready"},
        note=or_null(TEXT),
        found={**FLAG, "description": "whether an earlier hub started it"},
        log={**_LINES, "description": "its last lines, if the client may read logs"},
    ),
    "AgentsStatus": record(
        status={"enum": ["none", *STATE["enum"]], "description": "of the newest agent"},
        agents=array(ref("AgentFacts")),
    ),
    "AgentLog": record(agent_id=or_null(TEXT), lines=_LINES),
}
