"""Decodes the JSON text frames of clients. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar, overload

from pydantic import ValidationError

from event_hub.websocket_protocols.base import Frame
from event_hub.websocket_protocols.detect import intended_path

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89abAB]|\\u[dD][c-fC-F]")
F = TypeVar("F", bound=Frame)


class FrameError(Exception):
    """A frame that is refused. `code` is in the catalogue; `sentence` says what to do."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


@overload
def decode(text: str | bytes, model: type[F], path: str) -> F: ...
@overload
def decode(text: str | bytes, model: Mapping[str, type[Frame]], path: str) -> Frame: ...
def decode(text: str | bytes, model: type[Frame] | Mapping[str, type[Frame]], path: str) -> Frame:
    """The frame in `text`, for the endpoint at `path`.

    `model`: the only frame of the protocol, or type → model; the key "" is for frames without a type. Raises FrameError.
    """
    if isinstance(text, bytes):
        raise FrameError("unexpected_binary", f"{path} takes text frames, not binary ones.")
    try:
        fields: Any = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        _refuse_other_endpoint(text, path)
        raise FrameError("bad_json", "The frame is not JSON: send one JSON object per text frame.") from None
    if _ESCAPED_SURROGATE.search(text):
        try:
            json.dumps(fields, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise FrameError("bad_json", "The frame contains half of a surrogate pair, which is not Unicode.") from None
    if not isinstance(fields, dict):
        _refuse_other_endpoint(fields, path)
        raise FrameError("bad_json", "The frame is not a JSON object: send one per text frame.")
    chosen: type[Frame] | None
    if isinstance(model, Mapping):
        kind = fields.get("type", "")
        chosen = model.get(kind) if isinstance(kind, str) else None
    else:
        chosen = model
    if chosen is None:
        _refuse_other_endpoint(fields, path)
        known = ", ".join(sorted(name for name in model if name)) if isinstance(model, Mapping) else ""
        raise FrameError("bad_frame", f"type: unknown; {path} takes {known or 'frames without a type'}.")
    try:
        # Decoded from the text, because JSON has fewer types than Python: lists stand for tuples.
        return chosen.model_validate_json(text)
    except ValidationError as error:
        _refuse_other_endpoint(fields, path)
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the frame"
        reason = "is missing" if first["type"] == "missing" else first["msg"][:1].lower() + first["msg"][1:]
        raise FrameError("bad_frame", f"{where[:100]}: {reason[:300]}.") from None


def _refuse_other_endpoint(frame: object, path: str) -> None:
    """Raise FrameError if the frame is of another endpoint's protocol."""
    right = intended_path(frame)
    if right is not None and right != path and not (right == "/chat" and path == "/"):
        raise FrameError("wrong_endpoint", f"This frame belongs to {right}, and this is {path}: connect to {right}.")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
