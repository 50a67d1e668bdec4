"""The value of the header `Date`."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache


@lru_cache(maxsize=2)
def http_date(second: int) -> str:
    """`second`, in epoch seconds, as HTTP writes it (RFC 9110, section 5.6.7). Slower to format than a head is to parse."""
    return formatdate(second, usegmt=True)
