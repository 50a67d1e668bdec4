"""HUB_REDACT, read only if it is set: a hub without it loads neither `event_hub.redaction` nor its libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

if TYPE_CHECKING:
    from ..redaction import Rules


def redaction(value: Any) -> Rules | None:
    """The rules in the text `value`, None if there is none. Raises ValueError, with a sentence for the operator."""
    if value is None:
        return None
    from ..redaction import parse

    return parse(str(value))


Redaction = Annotated[Any, BeforeValidator(redaction)]
"""The type of the setting: `Rules` or None."""
