"""The bodies of `/api/sign-in`, `/api/share` and `/api/forget`."""

from typing import Annotated

from pydantic import AfterValidator, Field

from ..filters import MAX_STARS
from ..settings import seconds
from .queries import Body, Name


def _duration(text: str) -> str:
    seconds(text)
    return text


def _pattern(text: str) -> str:
    if text.count("*") > MAX_STARS:
        raise ValueError(f"has more than {MAX_STARS} stars")
    return text


class SignInBody(Body):
    key: Annotated[str, Field(min_length=1, max_length=4096)] = Field(description="the secret of a key")


class ShareBody(Body):
    rooms: Annotated[list[Annotated[Name, AfterValidator(_pattern)]], Field(max_length=20)] = Field(
        default=[], description="names of the rooms to share; `*` matches any text. With `session`: its room"
    )
    session: Name | None = Field(None, description="share this session only")
    duration: Annotated[str, AfterValidator(_duration)] = Field(
        "24h", alias="for", description="how long the link is valid, such as `2h`; at most 90 days"
    )


class ForgetBody(Body):
    session: Annotated[str, Field(max_length=256)] | None = Field(None, description="events of this session")
    room: Annotated[str, Field(max_length=256)] | None = Field(None, description="events of this room")
    participant: Annotated[str, Field(max_length=256)] | None = Field(None, description="events of this participant")
    before: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="events received before: a duration (`30d` ago) or epoch seconds"
    )
    dry_run: bool = Field(False, description="only count what would be erased")
