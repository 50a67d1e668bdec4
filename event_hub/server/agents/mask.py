"""Text from agents made fit to show: without secrets and control characters, and of limited length.

Every pattern here runs in linear time, because agents choose the text and the hub waits for the result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

LONGEST_LINE = 2000
"""Characters shown of a line."""
LONGEST_SENTENCE = 500
"""Characters of a message that a program reports; it becomes part of an event."""
LONGEST_ADDRESS = 256
"""Characters of an address that a program reports; a longer one is ignored, because a part of it leads nowhere."""
REACH = 16 << 10
"""Characters by which a secret can extend past the end of the shown text; our own tokens are shorter."""

_SHORTEST = 8
"""Shortest value that is masked: masking `false` or `4096` would blot out half of the log."""
_SECRET_PART = re.compile(
    r"(?:API|APP|AUTH|ACCESS|PRIVATE|SECRET|PG|DB|SSH)?(?:KEYS?|SECRETS?|TOKEN|PASSWORDS?|PASSWD|PASSPHRASE|PASS|"
    r"CREDENTIALS?)|AUTH|AUTHORIZATION"
)
_QUOTED = r"(?:[^\"'\\\n]|\\.)++"
_BARE = r"[^\s&,;\"'\\]++"
_LOOKS_SECRET = re.compile(
    rf"((?:(?<!\w)(?:Bearer|Basic)\s++|[?&](?:access_token|api_key|key|token)=)){_BARE}"
    r"|(://[^\s/:@]*+:)[^\s/@]++(?=@)"
    r"|(?<![\w-])eyJ[\w-]{5,}+\.[\w-]{5,}+(?:\.[\w-]*+)?"
    r"|(?<!\w)sk-[\w-]{12,}+"
    r"|(?<!\w)whsec_[\w+/-]{12,}+=*+"
    rf"|((?<![\w-])[\w-]{{0,24}}api-?key\\?[\"']?\s{{0,4}}[:=]\s{{0,4}}\\?[\"']?){_BARE}"
    rf"|((?<![\w-])[\w-]{{0,24}}(?:password|passwd|secret|api_key)=[\"']?){_BARE}"
    r"|(\\?[\"'][\w-]{0,24}(?:password|passwd|passphrase|secret|api_?key|access_?key|token|credentials?|authorization)"
    rf"\\?[\"']\s{{0,4}}:\s{{0,4}}\\?[\"']){_QUOTED}",
    re.IGNORECASE,
)
_CONTROL = re.compile(
    r"\x1b\[[0-?]*+[ -/]*+[@-~]|\x1b\][^\x07\x1b]*+(?:\x07|\x1b\\)?|\x1b.?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ADDRESS = re.compile(r"(?:https?|wss?)://[!-~]+")
"""A URL in ASCII, without spaces. No other scheme: a link to `javascript:…` would run in the page."""


class Mask:
    """Masks secrets: values of variables whose names look secret, tokens, passwords in URLs, and what `hide` is given."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.reach = REACH
        """Characters to examine past the end of the shown text, so that half a secret is never shown."""
        self._values: list[str] = []
        self._add(form for name, value in environ.items() if _is_secret(name) for form in _forms(value))

    def hide(self, secrets: Iterable[str]) -> None:
        """Mask these as well, however short they are: the secrets of the hub's keys."""
        self._add(form for secret in secrets for form in _forms(secret, shortest=1))

    def _add(self, forms: Iterable[str]) -> None:
        self._values = sorted({*self._values, *forms}, key=len, reverse=True)
        self.reach = max([REACH, *map(len, self._values[:1])])

    def __call__(self, text: str) -> str:
        """`text` with `***` for every secret."""
        for value in self._values:
            text = text.replace(value, "***")
        return _LOOKS_SECRET.sub(lambda found: f"{''.join(filter(None, found.groups()))}***", text)


def shown(line: str, mask: Mask, most: int = LONGEST_LINE) -> str:
    """A line ready to show: what a terminal would display of it, without secrets, at most `most` characters."""
    text = _CONTROL.sub("", line.rstrip("\r").rsplit("\r", 1)[-1])
    text = mask(text[: most + mask.reach])
    return text if len(text) <= most else f"{text[:most]}…"


def sentence(text: object, mask: Mask) -> str | None:
    """A program's message on one line, ready to show to every reader; None if there is none."""
    if not isinstance(text, str):
        return None
    return shown(" ".join(text.split()), mask, LONGEST_SENTENCE) or None


def address(text: object, mask: Mask) -> str | None:
    """The URL at which a program serves; None for anything else, for the page may link to it."""
    if not isinstance(text, str) or len(text) > LONGEST_ADDRESS or not _ADDRESS.fullmatch(text):
        return None
    return mask(text)[:LONGEST_ADDRESS]


def _is_secret(name: str) -> bool:
    """Judged by the parts of the name: `OPENAI_API_KEY`, `PGPASS`, but not `TOKENIZERS_PARALLELISM`, `MAX_TOKENS`, `PWD`."""
    parts = re.split(r"[^A-Z0-9]+", name.upper())
    return any(_SECRET_PART.fullmatch(part) for part in parts) or "PWD" in parts[1:]


def _forms(value: str, shortest: int = _SHORTEST) -> Iterator[str]:
    """The whole value and each of its lines: plain, and as written in JSON, in a URL and in Python."""
    for text in {value.strip(), *map(str.strip, value.splitlines())}:
        if len(text) >= shortest:
            yield text
            yield json.dumps(text)[1:-1]
            yield json.dumps(text, ensure_ascii=False)[1:-1]
            yield repr(text)[1:-1]
            encoded = text.encode("utf-8", "replace")
            for url in (quote(encoded, safe=""), quote(encoded), quote_plus(encoded)):
                yield url
                yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), url)
