"""nginx, Caddy and HAProxy with the files in deploy/, in front of a hub of the tests.

Only what depends on the machine is replaced in a file: ports, paths, the user, the certificate, and the time that a reload
leaves to open streams.
"""

from __future__ import annotations

import getpass
import grp
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from ..hubs import PATIENCE, ROOT, Stream, free_port, until
from ..toolchain import tool

DEPLOY = ROOT / "deploy"
CERTIFICATE = ROOT / "tests" / "wire" / "localhost.pem"
"""Self-signed, for localhost and 127.0.0.1, with its key."""
FILES = {"nginx": "nginx.conf", "caddy": "Caddyfile", "haproxy": "haproxy.cfg"}


class Proxy:
    """A running proxy. `url`: where it serves over TLS; `plain`: where it redirects from HTTP. `edit`: what the docs say to
    change in its file."""

    def __init__(self, name: str, hub: int, folder: Path, edit: Callable[[str], str] = str) -> None:
        self.name = name
        self.port, self._plain = free_port(), free_port()
        self.url, self.plain = f"https://127.0.0.1:{self.port}", f"http://127.0.0.1:{self._plain}"
        self._file = folder / FILES[name]
        self._log = folder / f"{name}.log"
        self._environ = {
            **os.environ,
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
        }
        text = edit((DEPLOY / FILES[name]).read_text())
        for old, new in self._replacements(hub, folder):
            assert old in text, f"deploy/{self._file.name} no longer contains {old!r}"
            text = text.replace(old, new)
        self._file.write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def _replacements(self, hub: int, folder: Path) -> Sequence[tuple[str, str]]:
        user, group = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
        address = ("127.0.0.1:5000", f"127.0.0.1:{hub}")
        if self.name == "nginx":
            temporary = "".join(
                f"    {kind}_temp_path {folder}/{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            return (
                address,
                ("user www-data;", f"user {user} {group};" if os.geteuid() == 0 else ""),
                ("worker_rlimit_nofile 65536;", ""),
                ("worker_processes auto;", "worker_processes 1;"),
                ("worker_shutdown_timeout 60s;", "worker_shutdown_timeout 1s;"),
                ("worker_connections 16384;", "worker_connections 512;"),
                ("/run/nginx.pid", f"{folder}/nginx.pid"),
                ("/var/log/nginx", str(folder)),
                ("http {\n", f"http {{\n{temporary}"),
                ("listen 80;", f"listen {self._plain};"),
                ("listen 443 ", f"listen {self.port} "),
                ("/etc/ssl/hub/fullchain.pem", str(CERTIFICATE)),
                ("/etc/ssl/hub/privkey.pem", str(CERTIFICATE)),
            )
        if self.name == "caddy":
            return (
                address,
                (
                    "grace_period 5s",
                    f"grace_period 1s\n\tadmin unix/{folder}/admin.sock\n\thttp_port {self._plain}\n\thttps_port {self.port}",
                ),
                ("hub.example.org {", f"https://localhost, https://127.0.0.1 {{\n\ttls {CERTIFICATE} {CERTIFICATE}"),
            )
        return (
            address,
            ("    user haproxy\n    group haproxy\n", ""),
            ("maxconn 20000", "maxconn 200"),
            ("hard-stop-after 60s", "hard-stop-after 1s"),
            ("/run/haproxy/admin.sock", f"{folder}/admin.sock"),
            ("/dev/log local0", "stderr format raw local0"),
            ("bind :80\n", f"bind :{self._plain}\n"),
            ("bind :443 ", f"bind :{self.port} "),
            ("/etc/haproxy/hub.pem", str(CERTIFICATE)),
        )

    def _command(self, *arguments: str) -> list[str]:
        return [tool(self.name), *arguments]

    def start(self) -> None:
        file = str(self._file)
        command = {
            "nginx": ("-e", "stderr", "-g", "daemon off;", "-c", file),
            "caddy": ("run", "--adapter", "caddyfile", "--config", file),
            "haproxy": ("-W", "-f", file),
        }[self.name]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ
            )
        until(self._listens, f"{self.name} to listen")

    def reload(self) -> None:
        """As `systemctl reload` does."""
        assert self.process is not None
        if self.name == "caddy":
            reload = self._command("reload", "--force", "--adapter", "caddyfile", "--config", str(self._file))
            subprocess.run(reload, check=True, capture_output=True, timeout=PATIENCE, env=self._environ)
        else:
            self.process.send_signal(signal.SIGHUP if self.name == "nginx" else signal.SIGUSR2)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            finally:
                self.process.kill()

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} has exited:\n{self.output()}"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), PATIENCE):
            return True
        return False

    # -- requests ------------------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, f"{self.url}{path}", verify=str(CERTIFICATE), timeout=PATIENCE, **options)

    def publish(self, event: Any, **options: Any) -> dict[str, Any]:
        response = self.request("POST", "/api/agent/data", json=event, **options)
        assert response.status_code == 200, f"{response.status_code} {response.text}\n{self.output()}"
        answer: dict[str, Any] = response.json()
        return answer

    def stream(self, query: str = "", **options: Any) -> Stream:
        return Stream(self.port, query, tls=ssl.create_default_context(cafile=str(CERTIFICATE)), **options)


@contextmanager
def proxy_before(name: str, hub: int, folder: Path) -> Iterator[Proxy]:
    """The proxy `name` before what listens on port `hub`; skips the test if it is not installed."""
    tool(name)
    proxy = Proxy(name, hub, folder)
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()
