"""Texts cut to the size that a hub accepts. Pure."""

from __future__ import annotations

import json
from typing import Any

_TOOL_BYTES = 16_384
"""Of a tool's arguments or output; a hub accepts events of up to 64 KiB."""
_TEXT_BYTES = 48_000
"""Of any other text, as JSON."""
SURELY_SHORT = _TEXT_BYTES // 6
"""A text of this many characters never has more bytes than that: JSON escapes take at most six bytes."""


def arguments(text: Any) -> Any:
    """A tool call's arguments as an object; the model's own text if it is very long or not a JSON object."""
    short = clipped(text)
    if short is not text or not isinstance(text, str):
        return short
    try:
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def clipped(text: Any) -> str | None:
    """A tool's text; if it is too long, cut, with its length at the end. None for anything but text."""
    if not isinstance(text, str):
        return None
    cut = _cut(text, _TOOL_BYTES)
    return text if cut is text else f"{cut}… ({len(text)} characters)"


def shorten(event: dict[str, Any], name: str) -> None:
    """Cut the field `name` if it is too long; `truncated` then has its original length in characters."""
    text = event[name]
    cut = _cut(text, _TEXT_BYTES)
    if cut is not text:
        event[name], event["truncated"] = cut, len(text)


def _cut(text: str, most: int) -> str:
    """The longest beginning of `text` that takes at most `most` bytes as JSON; `text` itself if all of it does."""
    if len(text) * 6 <= most:
        return text
    data = json.dumps(text[: most + 1], ensure_ascii=True)[1:-1]  # an upper bound: UTF-8 takes fewer bytes
    if len(text) <= most and len(data) <= most:
        return text
    share = text[:most]
    while len(json.dumps(share)) - 2 > most:
        share = share[: len(share) * most // len(json.dumps(share))]
    return share
