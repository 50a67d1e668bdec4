"""A real nginx in front of a hub, and a tap between them that sees what the hub answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..hubs import PATIENCE, free_port, until
from ..toolchain import tool

IDLE = "50ms"
"""After which nginx gives up on an attacker that owes it something, so that attacks which leave it waiting end."""
CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 256; }}
http {{
    log_format forwarded escape=json '{{"request":"$request","upstream":"$upstream_status","status":"$status"}}';
    access_log {folder}/access.log forwarded;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream hub {{ server 127.0.0.1:{hub}; keepalive 1; }}      # all clients share one connection to the hub
    server {{                                                    # for attackers
        listen 127.0.0.1:{attacked};
        client_header_timeout {idle};
        client_body_timeout {idle};
        keepalive_timeout {idle};
        include {folder}/site.conf;
    }}
    server {{                                                    # for everyone else
        listen 127.0.0.1:{port};
        include {folder}/site.conf;
    }}
}}
"""
SITE = """
        client_max_body_size 8m;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        location = /api/agent/data { return 403; }             # nobody publishes from outside
        location / { proxy_pass http://hub; }
"""


class Tap:
    """Passes bytes on in both directions, and keeps those that the hub sends."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self.answers = bytearray()
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            hub = socket.create_connection(("127.0.0.1", self._port))
            for end in (client, hub):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += [client, hub]
            for source, target, keep in ((client, hub, False), (hub, client, True)):
                thread = threading.Thread(target=self._pump, args=(source, target, keep), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, target: socket.socket, keep: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if keep:
                    self.answers += data
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for end in (self._listener, *self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(PATIENCE)


class Nginx:
    """A running nginx. `port`: where clients reach it; `attacked`: where it waits only for `IDLE`; `tap`: what is between it
    and the hub."""

    def __init__(self, port: int, attacked: int, tap: Tap, folder: Path) -> None:
        self.port, self.attacked, self.tap, self._folder = port, attacked, tap, folder
        self.url = f"http://127.0.0.1:{port}"

    def answered(self, path: str) -> int:
        """How often the hub has answered a request for `path`, which must not exist."""
        return self.tap.answers.count(f'"no such path: {path}"'.encode())

    def forwarded(self, path: str) -> int:
        """How often nginx has forwarded a request for `path`."""
        return sum(path in line["request"] and line["upstream"] not in ("", "-") for line in self.log())

    def log(self) -> list[dict[str, Any]]:
        text = (self._folder / "access.log").read_text(errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


@contextmanager
def nginx_before(hub: int, folder: Path, *, buffering: bool = True) -> Iterator[Nginx]:
    """nginx before the hub at port `hub`. `buffering`: it reads a whole body before it forwards a request."""
    program = tool("nginx")
    port, attacked = free_port(), free_port()
    with ExitStack() as stack:
        tap = Tap(hub)
        stack.callback(tap.close)
        configuration = CONFIGURATION.format(
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            idle=IDLE,
            hub=tap.port,
            port=port,
            attacked=attacked,
        )
        (folder / "site.conf").write_text(f"{SITE}proxy_request_buffering {'on' if buffering else 'off'};\n")
        (folder / "nginx.conf").write_text(configuration)
        process = subprocess.Popen(
            [program, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")], stdin=subprocess.DEVNULL
        )
        stack.callback(process.wait, PATIENCE)
        stack.callback(process.terminate)
        until(lambda: _listens(port, process), "nginx")
        yield Nginx(port, attacked, tap, folder)


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "nginx has exited"
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False
