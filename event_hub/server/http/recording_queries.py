"""The query parameters of what agents have uploaded."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .session_queries import SessionQuery


class PeaksQuery(SessionQuery):
    points: int = Field(2000, ge=1, le=50_000, description="maximum number of peaks for each channel")


class WavQuery(SessionQuery):
    channel: Literal["user", "agent"] = Field("user", description="the side to hear")


class SessionLogsQuery(SessionQuery):
    level: Literal["trace", "debug", "info", "warning", "error", "critical"] = Field(
        "info", description="the lowest level to list"
    )
    after: int = Field(0, ge=0, description="the `next` of the page before")
    limit: int = Field(1000, ge=1, le=10_000, description="maximum number of lines")
