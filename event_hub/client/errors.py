"""What can go wrong between us and a hub. The text of each error is for people and says what to do."""

from __future__ import annotations

from typing import Any


class HubError(Exception):
    """Base of all errors of a conversation with a hub."""

    again: bool = False
    """The same request may succeed later, by itself."""
    retry_after: float | None = None
    """Seconds that the answer asks to wait before it is tried again."""


class Unreachable(HubError):
    """Nobody answers, or the connection broke, or the answer took too long. `reason` says which."""

    again = True

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"No hub answers at {url} ({reason}): start one with `event-hub serve`, or set HUB_URL.")
        self.url = url
        self.reason = reason


class NotAHub(HubError):
    """Something answers, but it is no hub: a web page, a proxy's error page, another service's JSON.

    `status` and `content_type` are those of the answer. `again` is true for the answers of proxies whose hub is away
    (5xx, 429).
    """

    def __init__(
        self, url: str, status: int, content_type: str, reason: str = "", retry_after: float | None = None
    ) -> None:
        what = reason or f"status {status}, content type {content_type or 'missing'}"
        advice = "wait for the hub behind it" if _passing(status) else "check the URL (HUB_URL)"
        super().__init__(f"What answers at {url} is no LiveKit Event Hub ({what}): {advice}.")
        self.url = url
        self.status = status
        self.content_type = content_type
        self.retry_after = retry_after
        self.again = _passing(status)


class Refused(HubError):
    """The hub refuses the request. The codes are listed in docs/errors.md.

    `retry`: what the hub says about trying the same again; `field` names the field or parameter that is wrong, `index`
    the event of the batch (from 0); both None where the hub names none.
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
        self.again = self.retry or _passing(status)
        super().__init__(f"The hub refuses ({status} {self.code}): {self.detail.rstrip('.')}. {self.advice}".strip())


def _passing(status: int) -> bool:
    return status >= 500 or status in (408, 425, 429)


def _text(problem: dict[str, Any], name: str) -> str:
    value = problem.get(name)
    return value if isinstance(value, str) else ""
