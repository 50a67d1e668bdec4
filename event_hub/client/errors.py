"""Errors raised when talking to a hub. Each message is written for people and says what to do."""

from __future__ import annotations

from typing import Any


class HubError(Exception):
    """Base class of all errors in talking to a hub."""

    again: bool = False
    """The same request may succeed later."""
    retry_after: float | None = None
    """Seconds to wait before retrying, if the response names them."""


class Unreachable(HubError):
    """The connection was refused, broke or timed out. `reason` says which."""

    again = True

    def __init__(self, url: str, reason: str, advice: str = "") -> None:
        advice = advice or "start one with `event-hub serve`, or set HUB_URL"
        super().__init__(f"No hub answers at {url} ({reason}): {advice}.")
        self.url = url
        self.reason = reason


class NotAHub(HubError):
    """The response does not come from a hub: a web page, a proxy's error page, another service's JSON.

    `status` and `content_type` are those of the response. `again` is true for statuses that a proxy sends while its hub
    is away (5xx, 429).
    """

    def __init__(
        self, url: str, status: int, content_type: str, reason: str = "", retry_after: float | None = None
    ) -> None:
        explanation = reason or f"status {status}, content type {content_type or 'missing'}"
        advice = "wait for the hub behind it" if _transient(status) else "check the URL (HUB_URL)"
        super().__init__(f"The server at {url} is not a LiveKit Event Hub ({explanation}): {advice}.")
        self.url = url
        self.status = status
        self.content_type = content_type
        self.retry_after = retry_after
        self.again = _transient(status)


class Refused(HubError):
    """The hub refused the request. docs/errors.md lists the codes.

    `retry`: whether the hub says that the same request may succeed later. `field`: the invalid field or parameter.
    `index`: the position of the invalid event in the batch, starting at 0. Both are None if the hub names none.
    """

    def __init__(self, status: int, problem: dict[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.code = _text(problem, "code") or "unknown"
        self.detail = _text(problem, "detail") or _text(problem, "title") or f"status {status}"
        self.advice = _text(problem, "advice")
        self.retry = problem.get("retry") is True
        self.retry_after = retry_after
        self.field = _text(problem, "field") or None
        index = problem.get("index")
        self.index = index if type(index) is int and index >= 0 else None
        self.again = self.retry or _transient(status)
        super().__init__(
            f"The hub refused the request ({status} {self.code}): {self.detail.rstrip('.')}. {self.advice}".strip()
        )


def _transient(status: int) -> bool:
    return status >= 500 or status in (408, 425, 429)


def _text(problem: dict[str, Any], name: str) -> str:
    value = problem.get(name)
    return value if isinstance(value, str) else ""
