"""LiveKit's errors as fields of our events, without the exceptions' own text: it may quote the user, or a key. Pure."""

from __future__ import annotations

from typing import Any

_SUBJECTS = {
    "llm_error": ("llm", "the LLM"),
    "stt_error": ("stt", "the speech recognition"),
    "tts_error": ("tts", "the speech synthesis"),
    "realtime_model_error": ("realtime", "the realtime model"),
    "interruption_detection_error": ("interruption_detection", "the interruption detection"),
}


def agent_error(error: Any, plugin: Any = None) -> dict[str, Any]:
    """An `agent_error` event. `plugin`: the component that failed."""
    event = described(error, plugin)
    del event["type"]
    return {"type": "agent_error", **event, "recoverable": getattr(error, "recoverable", False) is True}


def described(error: Any, plugin: Any = None) -> dict[str, Any]:
    """LiveKit's `type` of the error, the `source` that failed, a `message`, and the `status_code` if there is one."""
    kind = str(getattr(error, "type", "") or type(error).__name__)
    source, subject = _SUBJECTS.get(kind, (kind.removesuffix("_error"), "the agent"))
    cause = getattr(error, "error", error)
    names = [getattr(plugin, name, None) for name in ("provider", "model")]
    known = " ".join(name for name in names if isinstance(name, str) and name not in ("", "unknown"))
    event: dict[str, Any] = {
        "type": kind,
        "message": f"{f'{subject} ({known})' if known else subject} {_failure(cause)}",
        "source": source,
    }
    status = getattr(cause, "status_code", None)
    if type(status) is int and status > 0:
        event["status_code"] = status
    return event


def _failure(cause: Any) -> str:
    status = getattr(cause, "status_code", None)
    names = {base.__name__ for base in type(cause).__mro__}
    if "APITimeoutError" in names or isinstance(cause, TimeoutError):
        return "did not answer in time"
    if type(status) is int and status > 0:
        hints = {
            401: ": wrong key",
            403: ": not allowed",
            404: ": no such model or address",
            429: ": too many requests",
        }
        return f"answered with status {status}{hints.get(status, '')}"
    if "APIConnectionError" in names or isinstance(cause, ConnectionError):
        return "could not be reached"
    return f"failed ({type(cause).__name__})"
