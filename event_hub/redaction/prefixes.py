"""The beginnings of what a regular expression matches: whether a text that goes on could still become a match.

`beginnings(pattern)` writes, for a pattern, one that matches every beginning of its matches, the empty one and the whole
ones included: `foo|b+a` becomes roughly `(f(o(o)?)?)?|(b*(b|b(a)?)?)?`. RE2 runs it, in linear time, at the end of a text.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from re import _constants as c  # type: ignore[attr-defined]  # the parser of the standard library; no public one exists
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_CATEGORIES = {
    c.CATEGORY_DIGIT: r"\d",
    c.CATEGORY_NOT_DIGIT: r"\D",
    c.CATEGORY_SPACE: r"\s",
    c.CATEGORY_NOT_SPACE: r"\S",
    c.CATEGORY_WORD: r"\w",
    c.CATEGORY_NOT_WORD: r"\W",
}
_PLACES = {
    c.AT_BEGINNING: "^",
    c.AT_BEGINNING_STRING: r"\A",
    c.AT_END: "$",
    c.AT_BOUNDARY: r"\b",
    c.AT_NON_BOUNDARY: r"\B",
}
_FLAGS = ((re.IGNORECASE, "i"), (re.MULTILINE, "m"), (re.DOTALL, "s"))
_MOST = 20_000
"""Characters of the result: repeats within repeats make it grow."""


def beginnings(pattern: str) -> str:
    """The pattern of all beginnings of what `pattern` matches. Raises ValueError if it has no linear-time equivalent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # [[:digit:]], which Python would take for something else
            tree = _parser.parse(pattern)
    except (re.error, Warning, RecursionError, OverflowError) as error:
        raise ValueError(f"is not a regular expression that can be used here: {error}") from None
    flags = "".join(letter for flag, letter in _FLAGS if tree.state.flags & flag)
    if tree.state.flags & re.VERBOSE:
        raise ValueError("is not a regular expression that can be used here: (?x) is not supported")
    written = f"(?{flags}:{_begin(list(tree))})"
    if len(written) > _MOST:
        raise ValueError("is too complicated: nest fewer repeats")
    return written


def _begin(items: Sequence[Any]) -> str:
    """All beginnings of a sequence."""
    if not items:
        return ""
    first, rest = items[0], items[1:]
    begin = _begin_one(first)
    if not rest:
        return begin
    more = f"{_whole([first])}{_begin(rest)}"
    return f"(?:{more}|{begin})" if begin else f"(?:{more})?"


def _begin_one(item: Any) -> str:
    kind, value = item
    if kind in (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN):
        return f"(?:{_whole([item])})?"
    if kind is c.BRANCH:
        return f"(?:{'|'.join(_begin(list(branch)) for branch in value[1])})"
    if kind is c.SUBPATTERN:
        return f"(?{_scope(value)}:{_begin(list(value[3]))})"
    if kind in (c.MAX_REPEAT, c.MIN_REPEAT):
        _, high, repeated = value
        if not high:
            return ""
        before = f"(?:{_whole(list(repeated))})"
        if high == c.MAXREPEAT:
            before += "*"
        else:
            before = before + f"{{0,{high - 1}}}" if high > 1 else ""
        return f"(?:{before}{_begin(list(repeated))})"
    if kind is c.AT:
        return ""
    raise ValueError(f"is not a regular expression that can be used here: {str(kind).lower()} is not supported")


def _whole(items: Sequence[Any]) -> str:
    return "".join(map(_whole_one, items))


def _whole_one(item: Any) -> str:
    kind, value = item
    if kind is c.LITERAL:
        return _literal(value)
    if kind is c.NOT_LITERAL:
        return f"[^{_literal(value)}]"
    if kind is c.ANY:
        return "."
    if kind is c.IN:
        return f"[{''.join(map(_member, value))}]"
    if kind is c.BRANCH:
        return f"(?:{'|'.join(_whole(list(branch)) for branch in value[1])})"
    if kind is c.SUBPATTERN:
        return f"(?{_scope(value)}:{_whole(list(value[3]))})"
    if kind in (c.MAX_REPEAT, c.MIN_REPEAT):
        low, high, repeated = value
        times = f"{{{low},}}" if high == c.MAXREPEAT else f"{{{low},{high}}}"
        return f"(?:{_whole(list(repeated))}){times}"
    if kind is c.AT and value in _PLACES:
        return _PLACES[value]
    raise ValueError(f"is not a regular expression that can be used here: {str(kind).lower()} is not supported")


def _literal(code: int) -> str:
    return f"\\x{{{code:x}}}"


def _member(item: Any) -> str:
    kind, value = item
    if kind is c.NEGATE:
        return "^"
    if kind is c.RANGE:
        return f"{_literal(value[0])}-{_literal(value[1])}"
    return _CATEGORIES[value] if kind is c.CATEGORY else _literal(value)


def _scope(value: Any) -> str:
    _, on, off, _ = value
    added = "".join(letter for flag, letter in _FLAGS if on & flag)
    removed = "".join(letter for flag, letter in _FLAGS if off & flag)
    return added + (f"-{removed}" if removed else "")
