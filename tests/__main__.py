"""`python -m tests [PYTEST ARGUMENTS]`: run the tests in parallel; run those that failed again, alone.

The tests use real processes, browsers and calls, and four of them share two processors. A failure that only the load caused
passes when the test runs alone; it is listed as flaky. A failure that remains fails the run, and so do more than `LIMIT`
failures at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LIMIT = 12
"""With more failures than this, the product is at fault and not the load."""
FAILED = 1
"""Pytest's exit code when tests failed; others say that it could not run them."""
PYTEST = [sys.executable, "-W", "error::SyntaxWarning", "-m", "pytest"]
PARALLEL = ["-n", "auto", "--maxprocesses", "4", "--dist", "worksteal"]
_CACHE = Path(__file__).parent.parent / ".pytest_cache/v/cache/lastfailed"


def main(arguments: list[str]) -> int:
    """Run pytest with `arguments`; returns its exit code."""
    _CACHE.unlink(missing_ok=True)
    code = _run([*PARALLEL, *arguments])
    failed = sorted(json.loads(_CACHE.read_text())) if code == FAILED and _CACHE.exists() else []
    if not failed or len(failed) > LIMIT:
        return code
    print(f"\nRunning the {len(failed)} failed again, alone:", *failed, "", sep="\n", flush=True)
    code = _run(["--last-failed", "--last-failed-no-failures", "none", *arguments])
    still = set(json.loads(_CACHE.read_text())) if _CACHE.exists() else set()
    for name in failed:
        print(f"{'FAILED TWICE' if name in still else 'FLAKY'} {name}")
    return code


def _run(arguments: list[str]) -> int:
    try:
        return subprocess.run([*PYTEST, *arguments], check=False).returncode
    except KeyboardInterrupt:  # pytest got it too, and has said so
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
