"""Starts of hubs that must fail, and starts with changed constants."""

from __future__ import annotations

import subprocess
import sys

from ..hubs import PATIENCE, ROOT, HubProcess


def refused_start(hub: HubProcess, *arguments: str) -> tuple[int, str]:
    """Run a hub that is expected to refuse to start; returns its exit code and output."""
    done = subprocess.run(
        [sys.executable, *hub.arguments, *arguments],
        cwd=ROOT,
        env=hub.environ,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    output = done.stdout + done.stderr
    assert "Traceback" not in output, output
    return done.returncode, output


def with_constant(module: str, assignment: str) -> list[str]:
    """Python arguments that run the hub with another value for one of a module's constants, such as a shorter timeout."""
    program = [
        "from gevent import monkey; monkey.patch_all()",
        f"import {module} as changed; changed.{assignment}",
        "from event_hub.server.serving.serve import main; main()",
    ]
    return ["-c", "\n".join(program)]
