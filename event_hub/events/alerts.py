"""What the hub tells of the rules in HUB_ALERTS."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from .envelope import Event, Text


class AlertRaised(Event):
    when: ClassVar[str] = "a rule of HUB_ALERTS is broken; once, until it is cleared"
    example: ClassVar[dict[str, Any]] = {
        "type": "alert_raised",
        "rule": "e2e p95 over 5m > 2s",
        "about": "Weather",
        "agent": "Weather",
        "value": 2.4,
        "threshold": 2.0,
    }
    type: Literal["alert_raised"]
    rule: Text = Field(description="the rule, as HUB_ALERTS has it")
    about: Text = Field(description="the agent, or the session, that breaks it")
    agent: Text | None = None
    value: float | Text | None = Field(None, description="what was found: seconds, or the message of an error")
    threshold: float | None = Field(None, description="what the rule allows, in seconds")


class AlertCleared(Event):
    when: ClassVar[str] = "an alert is over"
    example: ClassVar[dict[str, Any]] = {
        "type": "alert_cleared",
        "rule": "e2e p95 over 5m > 2s",
        "about": "Weather",
        "value": 1.4,
    }
    type: Literal["alert_cleared"]
    rule: Text
    about: Text
    agent: Text | None = None
    value: float | None = None
    threshold: float | None = None
