"""Markdown becomes safe HTML, and links lead to where the hub serves their targets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from event_hub.server.http.guide import Guide, GuidePage

from ..hubs import PATIENCE, ROOT


def rendered(folder: Path, markdown: str) -> GuidePage:
    (folder / "docs").mkdir()
    for name in ("other.md", "README.md", "plot.svg"):
        (folder / "docs" / name).write_text("# Other\n")
    (folder / "secret.png").write_bytes(b"secret")
    (folder / "docs" / "page.md").write_text(markdown)
    page = Guide(folder / "docs").page("page")
    assert page is not None
    return page


@pytest.mark.parametrize(
    ("markdown", "never"),
    [
        ("<script>alert(1)</script>", "<script"),
        ("text <script>alert(1)</script> text", "<script"),
        ('<img src="x" onerror="alert(1)">', "<img"),
        ('<a id="x" onclick="alert(1)">y</a>', "<a id"),
        ('<a id="x"><iframe src="//x"></a>', "<iframe"),
        ("<!-- --><script>alert(1)</script>", "<script"),
        ("<!-- <script> -->\n\n<style>*{display:none}</style>", "<style"),
        ("[x](javascript:alert(1))", "href"),
        ("![x](data:text/html,<script>)", "src="),
        ("```html\n<script>alert(1)</script>\n```", "<script"),
        ('```"><script>\ncode\n```', "<script"),
        ("# <b>Title</b>", "<b>"),
    ],
)
def test_no_html_but_ours(tmp_path: Path, markdown: str, never: str) -> None:
    assert never not in rendered(tmp_path, markdown).body


def test_the_html_that_the_pages_use(tmp_path: Path) -> None:
    body = rendered(tmp_path, '| a |\n|---|\n| <a id="bad_event"></a>`x` |\n\n<kbd>Ctrl</kbd> <!-- end -->\n').body
    assert '<td><a id="bad_event"></a><code>x</code></td>' in body
    assert "<kbd>Ctrl</kbd>" in body
    assert "end" not in body


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("other.md", "/docs/guide/other"),
        ("other.md#a-b", "/docs/guide/other#a-b"),
        ("README.md", "/docs/guide/"),
        ("../README.md#settings", "/docs/guide/readme#settings"),
        ("../docs/other.md", "/docs/guide/other"),
        ("plot.svg", "/docs/guide/plot.svg"),
        ("#here", "#here"),
        ("https://example.org/x.md", "https://example.org/x.md"),
    ],
)
def test_links(tmp_path: Path, target: str, address: str) -> None:
    assert f'<a href="{address}">*</a>' in rendered(tmp_path, rf"[\*]({target})").body


@pytest.mark.parametrize("target", ["../tests/x.py", "../../x.md", "missing.md", "../secret.png"])
def test_what_only_the_repository_has_is_no_link(tmp_path: Path, target: str) -> None:
    body = rendered(tmp_path, f"[file]({target}) and ![picture]({target}) and [other](other.md)").body
    assert ">file</span> and picture and <a href" in body
    assert "<img" not in body


def test_headings_have_the_ids_that_links_use(tmp_path: Path) -> None:
    page = rendered(tmp_path, "# The *stream*: `GET /api/x`\n\n## What happens at\n\n## What happens at\n")
    assert page.title == "The stream: GET /api/x"
    assert '<h1 id="the-stream-get-apix">' in page.body
    assert '<h2 id="what-happens-at">' in page.body
    assert '<h2 id="what-happens-at-1">' in page.body


def test_only_names_of_the_folder_are_found(tmp_path: Path) -> None:
    rendered(tmp_path, "# Page\n")
    guide = Guide(tmp_path / "docs")
    for name in ("../secret", "../docs/page", "page.md", "PAGE", "README", "/page", str(tmp_path / "docs" / "page")):
        assert guide.page(name) is None, name
    for name in ("../secret.png", "page.md", "./plot.svg", str(tmp_path / "secret.png"), ""):
        assert guide.file(name) is None, name
    assert guide.file("plot.svg") == tmp_path / "docs" / "plot.svg"
    assert guide.page("readme") is not None  # the project's, from the metadata of the installed package


def test_a_hub_starts_without_the_library() -> None:
    loaded = "import sys, event_hub.server.app; print('markdown_it' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", loaded], cwd=ROOT, text=True, timeout=PATIENCE) == "False\n"


def test_a_page_is_rendered_once(tmp_path: Path) -> None:
    rendered(tmp_path, "# Page\n")
    guide = Guide(tmp_path / "docs")
    first = guide.page("page")
    (tmp_path / "docs" / "page.md").unlink()
    assert guide.page("page") is first
