"""What must not be shown of an agent's words: secrets, control characters, and too much of it.

Every pattern here takes time that grows with the text and no faster: the text is the agent's, and the hub waits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

LONGEST_LINE = 2000
"""Characters of a line that are shown."""
LONGEST_SENTENCE = 500
"""Characters of what a program reports of itself; it is a part of an event."""
REACH = 16 << 10
"""Characters by which a secret may extend over the edge of what is shown; our own tokens take no more."""

_SHORTEST = 8
"""Characters of a value that is worth hiding: `false` or `4096` would blot out half of the log."""
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


class Mask:
    """Hides what must not be shown: the values of variables whose names look secret, tokens, and passwords in addresses."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        values = {form for name, value in environ.items() if _is_secret(name) for form in _forms(value)}
        self._values = sorted(values, key=len, reverse=True)
        self.reach = max([REACH, *map(len, self._values[:1])])
        """Characters beyond what is shown that are to be looked at, so that no half of a secret is shown."""

    def __call__(self, text: str) -> str:
        """`text` with `***` for every secret."""
        for value in self._values:
            text = text.replace(value, "***")
        return _LOOKS_SECRET.sub(lambda found: f"{''.join(filter(None, found.groups()))}***", text)


def shown(line: str, mask: Mask, most: int = LONGEST_LINE) -> str:
    """A line as it is shown: what a terminal would leave of it, without secrets, at most `most` characters."""
    text = _CONTROL.sub("", line.rstrip("\r").rsplit("\r", 1)[-1])
    text = mask(text[: most + mask.reach])
    return text if len(text) <= most else f"{text[:most]}…"


def sentence(text: object, mask: Mask) -> str | None:
    """What a program reports of itself, on one line, as it may be shown to everybody; None where that is nothing."""
    if not isinstance(text, str):
        return None
    return shown(" ".join(text.split()), mask, LONGEST_SENTENCE) or None


def _is_secret(name: str) -> bool:
    """By the parts of the name: `OPENAI_API_KEY`, `PGPASS`, and not `TOKENIZERS_PARALLELISM`, `MAX_TOKENS`, `PWD`."""
    parts = re.split(r"[^A-Z0-9]+", name.upper())
    return any(_SECRET_PART.fullmatch(part) for part in parts) or "PWD" in parts[1:]


def _forms(value: str) -> Iterator[str]:
    """All of the value and each of its lines, as they stand and as they stand in JSON, in an address, in Python."""
    for text in {value.strip(), *map(str.strip, value.splitlines())}:
        if len(text) >= _SHORTEST:
            yield text
            yield json.dumps(text)[1:-1]
            yield json.dumps(text, ensure_ascii=False)[1:-1]
            yield repr(text)[1:-1]
            encoded = text.encode("utf-8", "replace")
            for url in (quote(encoded, safe=""), quote(encoded), quote_plus(encoded)):
                yield url
                yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), url)
