"""The voice page's pure modules, tested in Node (V23, V30)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ...hubs import ROOT
from ...page.test_layers import LAYERS, imports
from ...toolchain import tool

HERE = Path(__file__).parent


@pytest.mark.parametrize("file", ["voice-audio.test.mjs", "voice-model.test.mjs"])
def test_in_node(file: str) -> None:
    command = [tool("node"), "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", str(HERE / file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail 0" in done.stdout
    assert "tests 0" not in done.stdout


VOICE = ROOT / "static" / "gateway" / "voice"
MODULES = sorted(VOICE.rglob("*.js"))
ENTRIES = [VOICE / "main.js", VOICE / "pcm-worklet.js"]


def layer(path: Path) -> int:
    """Words, model, transport, views, and above them the modules that connect them; shared modules are below."""
    if not path.is_relative_to(VOICE):
        return 0
    folder = path.relative_to(VOICE).parts[0]
    return LAYERS.index(folder) if folder in LAYERS else len(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(VOICE).as_posix())
def test_a_module_imports_nothing_from_above(path: Path) -> None:
    for imported in imports(path):
        assert imported.exists(), imported
        assert layer(imported) <= layer(path), imported


def test_words_and_model_do_not_use_the_browser() -> None:
    for path in [*(VOICE / "words").glob("*.js"), *(VOICE / "model").glob("*.js")]:
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(document|window|location|sessionStorage|navigator|WebSocket)\b", code), path.name


def test_no_module_is_left_over() -> None:
    reached = set(ENTRIES)
    while more := {imported for path in reached for imported in imports(path)} - reached:
        reached |= more
    assert set(MODULES) <= reached


def test_text_is_never_parsed_as_html() -> None:
    for path in MODULES:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", path.read_text()), path.name
