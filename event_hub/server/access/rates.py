"""Rates as the settings write them: `100/s`, `100/s,5000/min`. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_RATE = re.compile(r"([1-9][0-9]{0,8}) ?/ ?(s|sec|second|min|minute|h|hour|d|day)", re.IGNORECASE)
_SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}


NEEDLESS = (
    "HUB_RATE_LIMIT, HUB_CREDENTIAL_SUBSCRIBERS: would limit nothing, because an open hub has no credentials: set "
    "HUB_ADDRESS_RATE_LIMIT, HUB_ADDRESS_SUBSCRIBERS, or keys"
)
"""An operator who sets a limit relies on it: better not to start than to be open."""


class Rate(NamedTuple):
    """At most `most` requests in any `seconds`."""

    most: int
    seconds: int


def parse_rates(text: Any) -> tuple[Rate, ...]:
    """`100/s,5000/min` → the rates. Raises ValueError."""
    rates = []
    for part in filter(None, (part.strip() for part in str(text).split(","))):
        found = _RATE.fullmatch(part)
        if found is None:
            raise ValueError(f"{part[:40]!r} is not a rate: write 100/s or 5000/min, several separated by commas")
        rates.append(Rate(int(found[1]), _SECONDS[found[2].lower()]))
    return tuple(rates)
