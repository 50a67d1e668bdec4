"""The page's folders are layers: a module imports from its own folder and the ones below it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..hubs import ROOT

STATIC = ROOT / "static"
LAYERS = ["words", "model", "transport", "views", "console"]
"""The lowest first. Modules beside the folders, such as `main.js`, are above them all."""
MODULES = sorted(path for path in STATIC.rglob("*.js") if not {"vendor", "gateway"} & set(path.parts))
"""Without those of the gateway's pages, which have tests of their own."""


def imports(path: Path) -> list[Path]:
    text = path.read_text()
    found = re.findall(r'^(?:import|export)\b[^;]*?\bfrom "([^"]+)"', text, re.MULTILINE)
    found += re.findall(r'\bimport\("([^"]+)"\)', text)
    return [(path.parent / name).resolve() for name in found]


def layer(path: Path) -> int:
    folder = path.relative_to(STATIC).parts[0]
    return LAYERS.index(folder) if folder in LAYERS else len(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_a_module_imports_nothing_from_above(path: Path) -> None:
    for imported in imports(path):
        assert imported.exists(), imported
        assert layer(imported) <= layer(path), imported.relative_to(STATIC)


@pytest.mark.parametrize("folder", ["words", "model"])
def test_words_and_model_do_not_use_the_browser(folder: str) -> None:
    for path in (STATIC / folder).glob("*.js"):
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(document|window|location|localStorage|EventSource)\b|(?<![#.\w])fetch\(", code), (
            path.name
        )


def test_no_module_is_left_over() -> None:
    """Every script is reached from the page, its worker or the docs."""
    reached = {STATIC / name for name in ("start.js", "main.js", "transport/worker.js", "swagger.js")}
    while more := {imported for path in reached for imported in imports(path)} - reached:
        reached |= more
    assert set(MODULES) == reached
