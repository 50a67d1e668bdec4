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
        if status in (401, 403, 407):
            advice = "check the URL (HUB_URL), and the key (HUB_KEY) if a proxy requires one"
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


class AccessDenied(Refused):
    """The hub requires a credential and got none (`unauthorized`), got one that is wrong or has expired (`bad_credential`,
    `credential_expired`), or one that does not allow this request (`forbidden`). The message says what to set.

    `source`: where the credential comes from, in words; empty if none was sent.
    """

    def __init__(
        self,
        status: int,
        problem: dict[str, Any],
        retry_after: float | None = None,
        *,
        source: str = "",
        livekit: bool = False,
    ) -> None:
        self.source = source
        advice = _access_advice(status, source, livekit)
        super().__init__(status, {**problem, "advice": advice}, retry_after)


class AccessEnded(HubError):
    """The hub ended a stream because its credential has expired (`reason` is `token_expired`) or its key was removed
    (`access_revoked`), and there is no newer credential to go on with."""

    def __init__(self, url: str, reason: str, source: str) -> None:
        why = "has expired" if reason == "token_expired" else "was revoked"
        who = source[:1].upper() + source[1:] if source else "The access"
        super().__init__(
            f"The hub at {url} ended the stream: {who} {why} ({reason}). Set HUB_KEY to a valid key to resume."
        )
        self.url = url
        self.reason = reason


class CredentialUnavailable(HubError):
    """There is no key to send at the moment; nothing was sent."""

    again = True

    def __init__(self, reason: str) -> None:
        super().__init__(f"There is no key for the hub: {reason}.")
        self.reason = reason


def is_access_problem(status: int, problem: dict[str, Any]) -> bool:
    """Whether a refusal is about the credential."""
    return status == 401 or (status == 403 and problem.get("code") == "forbidden")


def _access_advice(status: int, source: str, livekit: bool) -> str:
    if not source:
        return "Set HUB_KEY to one of the hub's keys."
    it = source[:1].upper() + source[1:]
    if status == 403:
        return f"{it} does not allow it: set HUB_KEY to a key that does."
    if livekit:
        return f"The hub does not accept {source}: give it the same LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or set HUB_KEY."
    return f"The hub does not accept {source}: set HUB_KEY to one of its keys, without label and rooms."


def _transient(status: int) -> bool:
    return status >= 500 or status in (408, 425, 429)


def _text(problem: dict[str, Any], name: str) -> str:
    value = problem.get(name)
    return value if isinstance(value, str) else ""
