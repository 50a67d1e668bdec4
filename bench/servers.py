"""The servers to compare: the hub with each history, and nchan."""

import os
import resource
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Memory, memory, running, tree, wait_until

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = Path(__file__).with_name("nchan.conf.template")


@dataclass(frozen=True)
class Server:
    """A kind of server: its name and the paths for subscribing and publishing."""

    name: str
    stream: str
    publish: str
    ready: str
    batches: bool = True
    room_in_publish: bool = False
    """Each room is a separate channel, so a POST must name it in its query as well."""
    channel_rate: int | None = None
    """Maximum events a second for one channel."""
    replay: str = "/api/stream?since=all"
    """The path and query for subscribing from the first event on."""

    def path(self, publish: bool, rooms: bool) -> str:
        """The path and query for subscribing or publishing; it contains `{room}` if each subscriber watches one room."""
        named = rooms and (self.room_in_publish or not publish)
        return (self.publish if publish else self.stream) + ("?room={room}" if named else "")


HUB_MEMORY = Server("hub, memory", "/api/stream", "/api/agent/data", "/api/health")
HUB_SQLITE = Server("hub, SQLite", "/api/stream", "/api/agent/data", "/api/health")
HUB_VALKEY = Server("hub, Valkey", "/api/stream", "/api/agent/data", "/api/health")
"""One worker with a Valkey of its own, which is on the hub's core as well."""
# nchan numbers the messages of a second in 16 bits. After the 32,768th in a channel, its subscribers get no more messages.
NCHAN = Server(
    "nchan", "/sub", "/pub", "/ready", batches=False, room_in_publish=True, channel_rate=30_000, replay="/replay"
)

BARE_SQLITE = Server("SQLite alone", "", "", "")
"""No server: what SQLite takes of the same rows, as an upper bound of batches."""


@dataclass(frozen=True)
class Setup:
    """How to start servers: the hub's command, nchan's modules, the core to use, and a folder for files."""

    hub_command: Sequence[str]
    hub_environment: Mapping[str, str]
    nginx: str
    nginx_modules: str
    core: int
    folder: Path


@dataclass(frozen=True)
class Running:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]

    def memory(self) -> Memory:
        """The current memory of the server's process tree."""
        return memory(tree(self.process.pid))


@contextmanager
def started(server: Server, setup: Setup) -> Iterator[Running]:
    """Run a fresh server of this kind on a free port, with an empty history, until the end of the block."""
    port = free_port()
    environment = dict(os.environ)
    if server is NCHAN:
        command = nchan_command(setup, port)
    else:
        command = list(setup.hub_command)
        environment = {name: value for name, value in environment.items() if not name.startswith("HUB_")}
        environment |= {"PORT": str(port), "HUB_HISTORY": history(server, setup.folder), **setup.hub_environment}
    log = setup.folder / "server.log"
    url = f"http://127.0.0.1:{port}"
    with running(command, setup.core, log, ROOT, environment) as process:
        wait_until(lambda: answers(url + server.ready), process, log)
        yield Running(url, process)


def history(server: Server, folder: Path) -> str:
    """The hub's setting `HUB_HISTORY`, with its files in `folder` of the project."""
    path = folder.relative_to(ROOT)
    return {HUB_SQLITE: f"sqlite:///{path}/hub.db", HUB_VALKEY: f"valkey:///{path}/valkey"}.get(server, "memory:")


def nchan_command(setup: Setup, port: int) -> list[str]:
    """Write nginx's configuration and return the command that runs it in the foreground."""
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    text = TEMPLATE.read_text()
    for name, value in {
        "MODULES": setup.nginx_modules,
        "USER": "user root;" if os.geteuid() == 0 else "",
        "OPEN_FILES": open_files,
        "CONNECTIONS": open_files - 64,
        "PREFIX": setup.folder,
        "PORT": port,
    }.items():
        text = text.replace(f"@{name}@", str(value))
    configuration = setup.folder / "nginx.conf"
    configuration.write_text(text)
    return [setup.nginx, "-p", str(setup.folder), "-e", "stderr", "-c", str(configuration)]


def free_port() -> int:
    """A loopback port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether the URL answers a GET with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
