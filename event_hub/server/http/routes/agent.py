"""`/api/agent/start`, `/stop`, `/status`, `/logs`: the launcher over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, request

from ...access.origins import Origins
from ...access.principal import principal_of
from ...hub import EventHub
from ...settings import seconds
from .. import body
from ..queries import LogsQuery, NoQuery, StartBody, StopBody, StopQuery, check, parse
from ..responses import json_response

_LIMIT = 256 << 10
"""Maximum size of a body in bytes: 32 KiB of instructions with every character escaped."""


class AgentRoutes:
    """The four routes. `origins` decides which pages may use them."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def start(self, hub: EventHub) -> Response:
        """202 with the started agent."""
        self._origins.control(request.environ, principal_of(request.environ))
        parse(NoQuery, request.args, StartBody)
        asked = check(StartBody, self._body(hub))
        port = int(request.environ.get("SERVER_PORT") or 0)
        restart = asked.restart or "on-failure"
        return json_response(
            hub.agents.start(asked.mode, asked.room, asked.instructions, restart=restart, port=port), 202
        )

    def stop(self, hub: EventHub) -> Response:
        """202 while an agent is stopping, otherwise 200."""
        self._origins.control(request.environ, principal_of(request.environ))
        query = parse(StopQuery, request.args, StopBody)
        agents = hub.agents.stop(check(StopBody, self._body(hub)).agent_id, seconds(query.wait))
        states = {agent["status"] for agent in agents}
        stopping = "stopping" in states
        status = "stopping" if stopping else "stopped" if agents else "none"
        return json_response({"status": status, "agents": agents}, 202 if stopping else 200)

    def status(self, hub: EventHub) -> Response:
        """The agents in rooms that the principal may see. Log lines need the right to control."""
        parse(NoQuery, request.args)
        principal = principal_of(request.environ)
        logs = principal.grant.control and self._origins.may_control(request.environ, principal)
        return json_response(hub.agents.status(logs=logs, scope=principal.grant.subscribe))

    def logs(self, hub: EventHub) -> Response:
        """The last lines of a log as text, JSON or NDJSON, according to `Accept`."""
        self._origins.control(request.environ, principal_of(request.environ))
        query = parse(LogsQuery, request.args)
        agent_id, lines = hub.agents.logs(query.agent_id, query.lines)
        kind = request.accept_mimetypes.best_match(
            ("text/plain", "application/json", "application/x-ndjson"), "text/plain"
        )
        if kind == "application/json":
            return json_response({"agent_id": agent_id, "lines": lines})
        if kind == "application/x-ndjson":
            text = b"".join(msgspec.json.encode({"line": line}) + b"\n" for line in lines)
        else:
            text = "".join(f"{line}\n" for line in lines).encode()
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        charset = "; charset=utf-8" if kind == "text/plain" else ""
        return Response(text, 200, headers, content_type=f"{kind}{charset}")

    def _body(self, hub: EventHub) -> Any:
        return body.read_json(request.environ, min(_LIMIT, hub.settings.max_body), hub.settings.body_timeout)
