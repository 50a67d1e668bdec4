"""`/api/alerts`: the rules in HUB_ALERTS, and what breaks them."""

from __future__ import annotations

from flask import Response, request

from ...access.principal import principal_of
from ...hub import EventHub
from ..responses import json_response


def alerts(hub: EventHub) -> Response:
    """The rules, and the alerts that are raised: those that the principal may see."""
    scope = principal_of(request.environ).grant.subscribe
    raised = [
        alert
        for alert in hub.insight.alerts.raised()
        if scope is None or scope.contains(alert.get("room"), alert.get("session"))
    ]
    rules = [rule.text for rule in hub.insight.alerts.rules]
    return json_response({"rules": rules, "raised": raised})
