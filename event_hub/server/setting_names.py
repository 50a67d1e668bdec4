"""Names that look like settings and are none: probably typos. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

_PREFIX = "HUB_"
ELSEWHERE = frozenset(
    {"HUB_URL", "HUB_KEY", "HUB_AGENT_ID", "HUB_AGENT_MODE", "HUB_AGENT_ROOM", "HUB_AGENT_INSTRUCTIONS"}
)
"""Variables that publishers and agents read."""
RESTRICTING = (
    "HUB_AUTH",
    "HUB_CONTROL_KEYS",
    "HUB_PUBLISH_KEYS",
    "HUB_SUBSCRIBE_KEYS",
    "HUB_KEYS_FILE",
    "HUB_CORS_ORIGINS",
)
"""Settings without which a hub is open, or more open."""
_CLOSE = 0.8
"""The part of two names, without the prefix, that must be the same: HUB_PATH is not meant to be HUB_AUTH."""
_RESTRICTS = re.compile(r"(?:.*_)?(?:AUTH[A-Z]*|KEYS?|KEYS?_?FILE)(?:_.*)?")
_KUBERNETES = re.compile(r".+_(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)")
"""What Kubernetes sets for a service that is called `hub-…`."""


def refused(given: Mapping[str, Any], settings: Iterable[str]) -> list[str]:
    """A line for each name that was probably meant to restrict access. An operator who sets one relies on it, so a hub that
    does not know it must not start. An empty value counts as unset."""
    known = {*settings, *ELSEWHERE}
    return [
        f"{name}: is not a setting; did you mean {meant}? The hub does not start without a restriction that was intended"
        for name in sorted(given)
        if name not in known and str(given[name] or "").strip() and (meant := _restriction(name))
    ]


def unknown(given: Mapping[str, Any], settings: Iterable[str]) -> list[str]:
    """A sentence for each other unknown name."""
    known = {*settings, *ELSEWHERE}
    sentences = []
    for name in sorted(given):
        if name.startswith(_PREFIX) and name not in known and not _restriction(name):
            close = difflib.get_close_matches(name, known, 1)
            sentences.append(f"{name} is not a setting" + (f"; did you mean {close[0]}?" if close else ""))
    return sentences


def _restriction(name: str) -> str | None:
    """The setting that restricts access and was probably meant by an unknown name, in upper or lower case."""
    upper = name.upper()
    if not upper.startswith(_PREFIX) or upper in ELSEWHERE or _KUBERNETES.fullmatch(upper):
        return None
    rest = upper.removeprefix(_PREFIX)
    if re.search(r"CORS|ORIGINS?$", rest):
        return "HUB_CORS_ORIGINS"
    likeness = {known: _likeness(rest, known.removeprefix(_PREFIX)) for known in RESTRICTING}
    best = max(likeness, key=likeness.__getitem__)
    return best if likeness[best] >= _CLOSE or _RESTRICTS.fullmatch(rest) else None


def _likeness(text: str, other: str) -> float:
    if sorted(text) == sorted(other):
        return 1.0
    return difflib.SequenceMatcher(None, text, other).ratio()
