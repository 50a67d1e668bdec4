"""An OpenTelemetry collector with an OTLP receiver and a file exporter, built once into `var/otelcol` by the project's own
builder, through the Go module proxy."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from ..hubs import ROOT
from ..toolchain import go, run

HERE = Path(__file__).parent
CACHE = ROOT / "var" / "otelcol"
COMMAND = ".venv/bin/python -m tests.toolchain"
_BUILDER = "go.opentelemetry.io/collector/cmd/builder@v0.161.0"


def collector() -> Path:
    """The path of the collector. Without it, the test is skipped; in CI it fails."""
    path = _folder() / "otelcol"
    if not path.exists():
        message = f"the OpenTelemetry collector is missing: {COMMAND}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def install() -> list[str]:
    """Build it if it is missing. Returns the names of what could not be obtained."""
    folder = _folder()
    if folder.exists():
        return []
    CACHE.mkdir(parents=True, exist_ok=True)
    missing = ["the OpenTelemetry collector"]
    if (found := go()) is None:
        return missing
    program, environ = found
    print("Building an OpenTelemetry collector (2 minutes, once)", flush=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as partial:
        shutil.copy(HERE / "manifest.yaml", partial)
        command = [program, "run", _BUILDER, "--config=manifest.yaml"]
        error = run(command, Path(partial), environ, "Building the collector has failed")
        made = Path(partial) / "build" / "otelcol"
        if error or not made.exists():
            print(error or "The collector's builder has made no collector", file=sys.stderr)
            return missing
        ready = Path(partial) / "ready"
        ready.mkdir()
        made.rename(ready / "otelcol")
        ready.rename(folder)
    return []


def _folder() -> Path:
    """Its folder changes with the manifest."""
    key = hashlib.sha256((HERE / "manifest.yaml").read_bytes() + _BUILDER.encode()).hexdigest()[:12]
    return CACHE / f"otelcol-{key}"
