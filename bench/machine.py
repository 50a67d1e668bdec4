"""Describes the machine and the versions that the figures were measured with."""

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path


def describe(go: str, nginx: str | None) -> dict[str, str]:
    """Names and values for the report, none of which identifies the machine, a person or a path."""
    cpu = re.search(r"model name\s*:\s*(.+)", read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", read("/proc/meminfo"))
    system = re.search(r'PRETTY_NAME="(.+)"', read("/etc/os-release"))
    facts = {
        "CPU": f"{cpu[1].strip() if cpu else platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else "",
        "system": f"{system[1] if system else platform.system()}, kernel {platform.release()}",
        "Python": platform.python_version(),
        **{name: version(name) for name in ("Flask", "gunicorn", "gevent")},
        "Go": output(go, "env", "GOVERSION").removeprefix("go"),
        "commit": output("git", "describe", "--always", "--dirty"),
    }
    if nginx:
        facts["nginx"] = output(nginx, "-v").rpartition("/")[2]
        facts["nchan"] = output("dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan")
    return {name: value for name, value in facts.items() if value}


def read(path: str) -> str:
    """A file's text, or "" if it does not exist."""
    return Path(path).read_text() if Path(path).exists() else ""


def version(package: str) -> str:
    """A package's version, or "" if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def output(*command: str) -> str:
    """A command's output, or "" if it is missing or fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
