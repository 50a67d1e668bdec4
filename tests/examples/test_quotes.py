"""The docs quote the current samples, and the index lists all of them."""

from __future__ import annotations

import subprocess

import pytest

from tools.quotes import LANGUAGES, filled, quotes

from ..hubs import ROOT
from .packages import EXAMPLES, OURS


def test_quotes_match_the_files() -> None:
    for page, text in quotes().items():
        assert page.read_text() == text, f"{page.name}: run `make docs`"


def test_quotes_are_inserted_updated_and_checked() -> None:
    page = "before\n\n<!-- from: examples/curl/watch.sh -->\n\nafter\n"
    once = filled(page)
    assert once.startswith("before\n\n<!-- from: examples/curl/watch.sh -->\n```sh\n#!/bin/sh\n")
    assert once.endswith("\n```\n\nafter\n")
    assert filled(once) == once
    assert filled(once.replace("curl -gsSN", "old")) == once
    with pytest.raises(FileNotFoundError):
        filled("<!-- from: examples/gone.py -->\n")


def test_every_sample_is_quoted_and_listed() -> None:
    shown, index = "".join(quotes().values()), (EXAMPLES / "README.md").read_text()
    for folder in (path for path in EXAMPLES.iterdir() if path.is_dir()):
        assert f"]({folder.name}/" in index
        assert f"<!-- from: examples/{folder.name}/" in shown


def test_samples_are_short_and_follow_the_house_style() -> None:
    skip = OURS("", ["node_modules", ".next", "dist", "__pycache__"])
    for path in EXAMPLES.rglob("*"):
        if path.suffix in LANGUAGES and not skip & set(path.parts):
            text = path.read_text()
            assert len(text.splitlines()) <= 120, path
            assert "innerHTML =" not in text, path
            if path.suffix in {".js", ".jsx", ".mjs"}:
                assert not any(line.endswith((" ", "\t")) or "\t" in line for line in text.splitlines()), path


def test_no_packages_or_builds_are_committed() -> None:
    """Running a sample in place leaves node_modules and builds behind, which git ignores."""
    tracked = subprocess.run(
        ["git", "ls-files", "examples"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert not any(
        part in {"node_modules", ".next", "dist"} for line in tracked.stdout.split() for part in line.split("/")
    )
