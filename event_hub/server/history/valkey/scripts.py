"""The Lua scripts of the history, beside this module."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files


@cache
def script(name: str) -> str:
    """The text of a script."""
    return files(__package__).joinpath(f"{name}.lua").read_text()


@cache
def sha(name: str) -> str:
    """By which EVALSHA calls it."""
    return hashlib.sha1(script(name).encode(), usedforsecurity=False).hexdigest()
