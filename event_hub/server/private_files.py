"""Files that only the hub's user can read: they contain conversations."""

from __future__ import annotations

import os
from pathlib import Path


def create_private(path: Path) -> None:
    """Create an empty file with mode 0600, and its folder with 0700; an existing file is made private. Raises OSError if it
    cannot be created."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        for existing in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            try:
                existing.chmod(existing.stat().st_mode & 0o700)
            except OSError:  # another user's, or on a read-only file system
                pass


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to a file with mode 0600, replacing what it had. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
