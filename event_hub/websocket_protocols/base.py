"""What all protocols share: the base model, the keep-alive pair and the error."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticSerializationError


class Frame(BaseModel):
    """One JSON text frame. Unknown fields are ignored, so that either side may be newer."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    def to_json(self) -> str:
        """The frame on the wire: fields that are None are absent."""
        try:
            return self.model_dump_json(exclude_none=True)
        except (
            PydanticSerializationError
        ):  # half of a surrogate pair, from a client or a model: escaped, as JSON allows
            return json.dumps(self.fields())

    def fields(self) -> dict[str, Any]:
        """The frame as a dict, as it is on the wire."""
        return self.model_dump(exclude_none=True)


class Ping(Frame):
    """Asks for a sign of life. For browsers, which cannot send WebSocket pings."""

    type: Literal["ping"] = "ping"
    id: str | int | None = Field(None, description="returned in the pong")


class Pong(Frame):
    """The answer to a ping."""

    type: Literal["pong"] = "pong"
    id: str | int | None = Field(None, description="the id of the ping")


class Error(Frame):
    """Something was refused or failed. The connection stays open unless the code says otherwise."""

    type: Literal["error"] = "error"
    message: str = Field(description="one sentence that says what to do")
    code: str = Field(description="stable; the guide to the gateway lists all codes")
    error: str | None = Field(None, description="the same sentence, on the endpoints below /ws")
    retryable: bool | None = Field(None, description="whether the same request may succeed later, where that is known")
    request_id: str | None = Field(None, description="the request that failed, if it had an id")
