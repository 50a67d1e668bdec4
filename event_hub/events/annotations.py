"""What people note about a session: words, tags, thumbs."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from .envelope import Event, Name, Text


class Annotation(Event):
    when: ClassVar[str] = "a person noted something about a session, or about one of its turns"
    example: ClassVar[dict[str, Any]] = {
        "type": "annotation",
        "session": "s1",
        "author": "ada",
        "text": "The refund was quoted in the wrong currency.",
        "tag": "refund",
        "turn": 3,
        "rating": "down",
    }
    type: Literal["annotation"]
    author: Text | None = Field(None, description="who noted it")
    text: Text | None = None
    tag: Name | None = Field(None, description="adds a tag to the session; with `removed`, removes it")
    removed: bool | None = Field(None, description="the tag is removed")
    turn: int | None = Field(None, ge=1, description="number of the turn; without it, the whole session is meant")
    rating: Literal["up", "down"] | None = Field(None, description="thumbs up or down")
