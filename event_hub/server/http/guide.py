"""The guide: the pages of `docs/` rendered as HTML, so that a hub can be understood without a network."""

from __future__ import annotations

import html
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, metadata
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

URL = "/docs/guide/"
_PACKAGE = Path(__file__).parents[2]
_FILES = {".png", ".svg", ".json"}
"""Suffixes of the files that are served beside the pages."""
_ALLOWED = re.compile(r'(<a id="[\w-]+">|</a>|<kbd>|</kbd>)')
"""The only raw HTML that the pages use. Everything else is shown as text."""
_COMMENT = re.compile(r"<!--.*?-->", re.S)
_NOT_IN_SLUG = re.compile(r"[^\w\- ]")


class GuidePage(NamedTuple):
    title: str
    body: str
    """HTML, with its heading."""


def docs_folder() -> Path:
    """Where the pages are: inside an installed package, beside the package in a checkout."""
    installed = _PACKAGE / "docs"
    return installed if installed.is_dir() else _PACKAGE.parent / "docs"


class Guide:
    """The pages of one folder. The folder is read, and each page rendered, on first request.

    A name from a request is looked up among the files of the folder and never becomes part of a path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rendered: dict[str, GuidePage] = {}
        self._names: dict[str, Path] | None = None
        self._markdown: MarkdownIt | None = None

    def page(self, name: str) -> GuidePage | None:
        """The page at `/docs/guide/<name>`, None if there is no such page. "" is the index, `docs/README.md`; "readme" is
        the README of the project."""
        if name not in self._rendered:
            source = self._source(name)
            if source is None:
                return None
            self._rendered[name] = self._render(*source)
        return self._rendered[name]

    def file(self, name: str) -> Path | None:
        """The picture or other file at `/docs/guide/<name>`, None if there is no such file."""
        path = self._known().get(name)
        return path if path is not None and path.suffix in _FILES else None

    def _known(self) -> dict[str, Path]:
        """The files of the folder by their path in it, with slashes."""
        if self._names is None:
            paths = (path for path in self._folder.rglob("*") if path.is_file())
            self._names = {path.relative_to(self._folder).as_posix(): path for path in paths}
        return self._names

    def _source(self, name: str) -> tuple[str, str] | None:
        """A page's Markdown and the folder that its links are relative to, as in the repository."""
        if name == "readme":
            readme = _project_readme(self._folder)
            return None if readme is None else (readme, "")
        path = self._known().get(f"{name}.md" if name else "README.md")
        if path is None or name == "README":  # the index has one address
            return None
        return path.read_text(encoding="utf-8"), "docs"

    def _render(self, source: str, base: str) -> GuidePage:
        # Imported on first use: a hub whose guide is not read starts faster and uses less memory.
        from markdown_it import MarkdownIt

        if self._markdown is None:
            # Raw HTML is parsed, so that `_safe` can allow some tags and escape the others.
            self._markdown = MarkdownIt("commonmark", {"html": True}).enable("table")
            self._markdown.add_render_rule("html_block", _raw_html)
            self._markdown.add_render_rule("html_inline", _raw_html)
            self._markdown.add_render_rule("table_open", lambda *_: '<div class="wide"><table>\n')
            self._markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
        tokens = self._markdown.parse(source)
        title = ""
        slugs: Counter[str] = Counter()
        for token, following in pairwise(tokens):
            if token.type == "heading_open":
                text = _text(following)
                title = title or text
                token.attrSet("id", _slug(text, slugs))
        for token in tokens:
            if style := token.attrs.pop("style", None):  # a column's alignment, which the pages' policy forbids
                token.attrSet("class", str(style).removeprefix("text-align:"))
            if token.children:
                token.children = list(self._resolve(token.children, base))
        return GuidePage(title, self._markdown.renderer.render(tokens, self._markdown.options, {}))

    def _resolve(self, tokens: Sequence[Token], base: str) -> Iterator[Token]:
        """Yield the inline tokens with their links and pictures pointing to this hub. If it has no such file, only the text
        remains."""
        closing: list[str] = []
        for token in tokens:
            if token.type == "link_open":
                target = str(token.attrs["href"])
                address = self._address(target, base)
                if address is None:
                    token.tag, token.attrs = "span", {"title": f"in the repository: {posixpath.join(base, target)}"}
                else:
                    token.attrs["href"] = address
                closing.append(token.tag)
            elif token.type == "link_close":
                token.tag = closing.pop()
            elif token.type == "image":
                address = self._address(str(token.attrs["src"]), base)
                if address is None:
                    token.type, token.tag, token.children = "text", "", None
                else:
                    token.attrs["src"] = address
            yield token

    def _address(self, target: str, base: str) -> str | None:
        """The address on this hub of a link's target, None if only the repository has it."""
        parts = urlsplit(target)
        if parts.scheme or parts.netloc or not parts.path:
            return target
        path = posixpath.normpath(posixpath.join(base, parts.path))
        fragment = f"#{parts.fragment}" if parts.fragment else ""
        if path == "README.md":
            return f"{URL}readme{fragment}"
        folder, _, name = path.partition("/")
        if folder != "docs" or name not in self._known():
            return None
        if name == "README.md":
            return f"{URL}{fragment}"
        return f"{URL}{name.removesuffix('.md')}{fragment}"


def _project_readme(folder: Path) -> str | None:
    """The README: in a checkout, the file beside the folder; in an installed package, its description."""
    beside = folder.parent / "README.md"
    if beside.exists():
        return beside.read_text(encoding="utf-8")
    try:
        return metadata("livekit-event-hub")["Description"]
    except (PackageNotFoundError, KeyError):
        return None


def _text(inline: Token) -> str:
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))


def _slug(text: str, taken: Counter[str]) -> str:
    """A heading's id by GitHub's rule, which links between the pages rely on."""
    slug = _NOT_IN_SLUG.sub("", text.lower()).replace(" ", "-")
    taken[slug] += 1
    return slug if taken[slug] == 1 else f"{slug}-{taken[slug] - 1}"


def _raw_html(_renderer: object, tokens: Sequence[Token], index: int, *_: Any) -> str:
    return _safe(tokens[index].content)


def _safe(raw: str) -> str:
    """Remove comments and escape all tags except the allowed ones."""
    parts = _ALLOWED.split(_COMMENT.sub("", raw))
    return "".join(part if index % 2 else html.escape(part) for index, part in enumerate(parts))
