"""The page's pure modules, tested in Node."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ..toolchain import tool

HERE = Path(__file__).parent


@pytest.mark.parametrize("file", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_in_node(file: str) -> None:
    command = [tool("node"), "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", str(HERE / file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fail 0" in done.stdout
    assert "tests 0" not in done.stdout
