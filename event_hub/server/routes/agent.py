"""`/api/agent/start`, `/stop`, `/status`, `/logs`: the launcher over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, request

from .. import body
from ..access import Origins
from ..hub import Hub
from ..queries import LogsQuery, NoQuery, StartBody, StopBody, StopQuery, check, parse
from ..settings import seconds

_LIMIT = 256 << 10
"""Bytes of a body: 32 KiB of instructions, each character escaped."""


class AgentRoutes:
    """The four routes. `origins` says which pages may use them."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def start(self, hub: Hub) -> Response:
        """202 with what was started."""
        self._origins.control(request.environ)
        parse(NoQuery, request.args, StartBody)
        asked = check(StartBody, self._body(hub))
        port = int(request.environ.get("SERVER_PORT") or 0)
        return answer(hub.agents.start(asked.mode, asked.room, asked.instructions, port), 202)

    def stop(self, hub: Hub) -> Response:
        """202 while somebody is stopping, 200 where nobody is (any more)."""
        self._origins.control(request.environ)
        query = parse(StopQuery, request.args, StopBody)
        agents = hub.agents.stop(check(StopBody, self._body(hub)).agent_id, seconds(query.wait))
        states = {agent["status"] for agent in agents}
        stopping = "stopping" in states
        status = "stopping" if stopping else "stopped" if agents else "none"
        return answer({"status": status, "agents": agents}, 202 if stopping else 200)

    def status(self, hub: Hub) -> Response:
        """All agents. Log lines only for who may control: a page of anywhere may read the rest."""
        parse(NoQuery, request.args)
        return answer(hub.agents.status(logs=self._origins.may_control(request.environ)))

    def logs(self, hub: Hub) -> Response:
        """The last lines of a log: text, or JSON where that is asked for."""
        self._origins.control(request.environ)
        query = parse(LogsQuery, request.args)
        agent_id, lines = hub.agents.logs(query.agent_id, query.lines)
        kind = request.accept_mimetypes.best_match(
            ("text/plain", "application/json", "application/x-ndjson"), "text/plain"
        )
        if kind == "application/json":
            return answer({"agent_id": agent_id, "lines": lines})
        if kind == "application/x-ndjson":
            text = b"".join(msgspec.json.encode({"line": line}) + b"\n" for line in lines)
        else:
            text = "".join(f"{line}\n" for line in lines).encode()
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        charset = "; charset=utf-8" if kind == "text/plain" else ""
        return Response(text, 200, headers, content_type=f"{kind}{charset}")

    def _body(self, hub: Hub) -> Any:
        return body.one(request.environ, min(_LIMIT, hub.settings.max_body), hub.settings.body_timeout)


def answer(value: Any, status: int = 200) -> Response:
    """JSON that nobody keeps."""
    return Response(
        msgspec.json.encode(value) + b"\n", status, {"Cache-Control": "no-store"}, mimetype="application/json"
    )
