"""Which boot of the machine this is: after another one, what was not synced may be lost."""

from __future__ import annotations

from pathlib import Path


def boot_id() -> str | None:
    """The id of the machine's current boot; None if the system has no such id."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
