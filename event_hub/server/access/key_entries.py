"""Keys as the settings and `HUB_KEYS_FILE` write them: `label:secret@room-*|other`. Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from ..filters import BadFilter, Filter, Scope, is_glob

Right = Literal["publish", "subscribe", "control"]
RIGHTS: tuple[Right, ...] = get_args(Right)

SHORT = 16
"""Characters: a shorter secret can be guessed, so the hub warns of it."""
_LEAST = 6
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SECRET = re.compile(r"[!-+\--?A-~]+")
"""Printable ASCII without spaces, commas and `@`: a secret is part of headers and of these lists."""


class KeyEntry(NamedTuple):
    """One key. `scope`: the rooms that it is limited to; None: all."""

    right: Right
    label: str
    secret: str
    scope: Scope | None = None

    def __repr__(self) -> str:
        return f"KeyEntry({self.right} {self.label})"


def parse_list(text: str, right: Right) -> tuple[KeyEntry, ...]:
    """The keys in a setting, separated by commas. Raises ValueError without any secret in its text."""
    return tuple(_entry(part.strip(), right) for part in text.split(",") if part.strip())


def parse_file(text: str) -> tuple[KeyEntry, ...]:
    """The keys in a file: a right and a key on each line, `#` comments. Raises ValueError, which names the line."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        right, _, rest = line.partition(" ")
        try:
            if right not in RIGHTS:
                raise ValueError(f"must start with {', '.join(RIGHTS)}, followed by LABEL:SECRET")
            entries.append(_entry(rest.strip(), right))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return tuple(entries)


def _entry(text: str, right: Right) -> KeyEntry:
    label, colon, rest = text.partition(":")
    if not colon or not _LABEL.fullmatch(label):
        raise ValueError("a key is LABEL:SECRET or LABEL:SECRET@ROOM; a label has letters, digits, dots and dashes")
    secret, at, rooms = rest.partition("@")
    if len(secret) < _LEAST or not _SECRET.fullmatch(secret):
        raise ValueError(
            f"the secret of {label} must have at least {_LEAST} printable ASCII characters, without spaces, commas and @"
        )
    if not at:
        return KeyEntry(right, label, secret)
    if right == "control":
        raise ValueError(f"{label} is a control key, which may do everything: it cannot be limited to rooms")
    names = [name.strip() for name in rooms.split("|")]
    if not all(names):
        raise ValueError(f"{label} names no room after @ or between two |")
    try:
        Filter.of(rooms=names)
    except BadFilter as error:
        raise ValueError(f"the rooms of {label}: {error}") from None
    return KeyEntry(right, label, secret, scope_of(names))


def refuse_duplicates(entries: Iterable[KeyEntry]) -> tuple[KeyEntry, ...]:
    """The same keys; raises ValueError if two labels share a secret, because logs could not tell them apart."""
    entries = tuple(entries)
    labels: dict[str, str] = {}
    for entry in entries:
        other = labels.setdefault(entry.secret, entry.label)
        if other != entry.label:
            raise ValueError(f"{other} and {entry.label} have the same secret: give each its own")
    return entries


def new_key() -> str:
    """A control key with a fresh secret, to suggest in an error."""
    return f"me:{secrets.token_hex(16)}"


def needs_access(where: str, otherwise: str) -> str:
    """Why a hub at an address beyond loopback does not start without credentials. `where`: the setting that says so;
    `otherwise`: how to stay on loopback."""
    return (
        f"with {where} everyone who can reach that address could read every conversation: set "
        f"HUB_CONTROL_KEYS={new_key()} (just generated) to require a key, HUB_AUTH=open if you want that, or {otherwise}"
    )


def scope_of(names: Iterable[str]) -> Scope:
    """The scope of names and `*` patterns."""
    names = list(names)
    return Scope(tuple(n for n in names if not is_glob(n)), tuple(n for n in names if is_glob(n)))
