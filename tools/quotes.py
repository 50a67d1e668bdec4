"""Code blocks in docs that are quotes of files: what follows a line `<!-- from: examples/… -->` is that file."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / name for name in ("attach.md", "forwarding.md", "samples.md", "protocol.md", "sessions.md")]
LANGUAGES = {".html": "html", ".js": "js", ".jsx": "jsx", ".mjs": "js", ".py": "python", ".sh": "sh"}
_QUOTE = re.compile(r"^<!-- from: (\S+) -->\n(?:```.*?\n```\n)?", re.M | re.S)


def filled(page: str) -> str:
    """`page` with every quote as its file is now. Raises FileNotFoundError for a file that is gone."""
    return _QUOTE.sub(lambda match: _block(match[1]), page)


def _block(name: str) -> str:
    text = (ROOT / name).read_text()
    if "```" in text:
        raise ValueError(f"{name} cannot be quoted: it has ``` in it")
    return f"<!-- from: {name} -->\n```{LANGUAGES[Path(name).suffix]}\n{text.rstrip()}\n```\n"


def quotes() -> dict[Path, str]:
    """Each page that quotes, and what should be in it."""
    return {page: filled(page.read_text()) for page in PAGES}
