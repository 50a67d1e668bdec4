"""What the hubs of a round find: their settings, and the server of a shared history."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...valkeys import ValkeyServer, command


@dataclass
class Place:
    """`environ`: settings of every hub. `server`: the Valkey that they share. `linked`: each hub reaches it through a proxy
    of its own. `command`: sends one command to the Valkey that the hubs use."""

    environ: dict[str, str] = field(default_factory=dict)
    server: ValkeyServer | None = None
    linked: bool = False
    command: Callable[..., Any] | None = None


Places = Callable[[Path], AbstractContextManager[Place]]


@contextmanager
def plain(_: Path) -> Iterator[Place]:
    """The round's own SQLite, or what `--set` names."""
    yield Place()


@contextmanager
def one_valkey(_: Path) -> Iterator[Place]:
    """A server that several hubs share."""
    server = ValkeyServer().start()
    try:
        yield Place({"HUB_HISTORY": server.url}, server, command=server.command)
    finally:
        server.close()


@contextmanager
def linked_valkey(folder: Path) -> Iterator[Place]:
    """The same, behind a proxy for each hub."""
    with one_valkey(folder) as place:
        place.linked = True
        yield place


@contextmanager
def workers(_: Path) -> Iterator[Place]:
    """One hub of two worker processes, which starts its Valkey itself. Its folder has a path that is short enough for a
    socket."""
    folder = Path(tempfile.mkdtemp(prefix="valkey-"))
    try:
        environ = {"HUB_HISTORY": f"valkey:///{folder}", "HUB_WORKERS": "2"}
        yield Place(environ, command=lambda *words: command(*words, path=str(folder / "valkey.sock")))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
