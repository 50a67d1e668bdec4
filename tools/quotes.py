"""Fills in code blocks in docs that quote files: a block after the line `<!-- from: examples/… -->` quotes that file."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "docs" / name
    for name in (
        *("attach.md", "forwarding.md", "gateway.md", "recordings.md", "samples.md", "protocol.md", "sessions.md"),
        "streaming-text.md",
    )
]
LANGUAGES = {".html": "html", ".js": "js", ".jsx": "jsx", ".mjs": "js", ".py": "python", ".sh": "sh"}
_QUOTE = re.compile(r"^<!-- from: (\S+) -->\n(?:```.*?\n```\n)?", re.M | re.S)


def filled(page: str) -> str:
    """`page` with the current text of every quoted file. Raises FileNotFoundError if a file does not exist."""
    return _QUOTE.sub(lambda match: _block(match[1]), page)


def _block(name: str) -> str:
    text = (ROOT / name).read_text()
    if "```" in text:
        raise ValueError(f"{name} cannot be quoted, because it contains ```")
    return f"<!-- from: {name} -->\n```{LANGUAGES[Path(name).suffix]}\n{text.rstrip()}\n```\n"


def quotes() -> dict[Path, str]:
    """Maps each page with quotes to its up-to-date text."""
    return {page: filled(page.read_text()) for page in PAGES}
