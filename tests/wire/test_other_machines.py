"""A hub that is open by default answers its own machine only, whatever starts it and whatever it is told to listen on."""

from __future__ import annotations

import ipaddress
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
import psutil
import pytest
import requests

from event_hub.server.app import create_app
from event_hub.server.settings import Settings

from ..faults.starts import refused_start
from ..hubs import PATIENCE, HubProcess, until
from .guarded import token

CONFIG = ["-m", "gunicorn", "-c", "python:event_hub.server.serving.gunicorn_config", "flask_server:app"]
PATHS = [
    "/",
    "/api/health",
    "/api/health/live",
    "/api/events",
    "/api/stream",
    "/api/config",
    "/docs/",
    "/static/start.js",
    "/metrics",
    "/no",
]
EVENT = {"type": "test"}


def own_address() -> str:
    """An IPv4 address of this machine beyond loopback: to the hub, its user is another machine."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and not ipaddress.ip_address(address.address).is_loopback:
                return str(address.address)
    pytest.skip("this machine has no address beyond loopback")


def refused(url: str) -> None:
    for path in PATHS:
        answer = requests.get(f"{url}{path}", timeout=PATIENCE)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_address"), path
    answer = requests.post(f"{url}/api/agent/data?access_token=x", json=EVENT, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_address")
    assert "HUB_AUTH=open" in answer.json()["advice"]
    claims = {
        "X-Forwarded-For": "127.0.0.1",
        "Forwarded": "for=127.0.0.1",
        "X-Real-IP": "127.0.0.1",
        "Host": "localhost",
    }
    assert requests.get(f"{url}/api/events", headers=claims, timeout=PATIENCE).status_code == 403


@contextmanager
def served(hub: HubProcess, *arguments: str) -> Iterator[None]:
    """The hub, served by another command on all addresses."""
    hub.arguments = [*arguments]
    try:
        hub.start()
        yield
    finally:
        hub.stop()


@pytest.mark.parametrize(
    "server",
    [
        ["-m", "flask", "--app", "flask_server", "run", "-h", "0.0.0.0", "-p", "{port}"],
        ["-m", "gunicorn", "--bind", "0.0.0.0:{port}", "flask_server:app"],
        ["-m", "gunicorn", "--bind", "0.0.0.0:{port}", "-k", "gthread", "flask_server:app"],
        [
            "-m",
            "gunicorn",
            "--bind",
            "[::]:{port}",
            "-k",
            "event_hub.server.serving.worker.HubWorker",
            "flask_server:app",
        ],
    ],
)
def test_no_server_opens_it_to_other_machines(hub_factory: Callable[..., HubProcess], server: list[str]) -> None:
    hub = hub_factory(HUB_PROXIES="127.0.0.1,0.0.0.0/0")
    with served(hub, *(word.format(port=hub.port) for word in server)):
        assert hub.post(EVENT).status_code == 200, "this machine's programs need nothing"
        refused(f"http://{own_address()}:{hub.port}")


def test_what_confirms_that_it_is_open_opens_it(hub_factory: Callable[..., HubProcess]) -> None:
    for more, status in (({"HUB_AUTH": "open"}, 200), ({"HUB_CONTROL_KEYS": "me:secret-of-mine-1"}, 401)):
        hub = hub_factory(**more)
        with served(hub, *CONFIG, "--bind", f"0.0.0.0:{hub.port}"):
            url = f"http://{own_address()}:{hub.port}/api/events"
            assert requests.get(url, timeout=PATIENCE).status_code == status


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]", "own", "127.0.0.1:0 --bind 0.0.0.0"])
@pytest.mark.parametrize("variable", [False, True])
def test_the_command_line_of_gunicorn_does_not_override_it(
    hub_factory: Callable[..., HubProcess], variable: bool, address: str
) -> None:
    hub = hub_factory(LIVEKIT_API_KEY="key", LIVEKIT_API_SECRET="a-secret-of-livekit-with-32-bytes")
    bind = f"--bind {own_address() if address == 'own' else address}:{hub.port}"
    if variable:
        hub.environ["GUNICORN_CMD_ARGS"] = bind
    else:
        hub.arguments = [*CONFIG, *bind.split()]
    code, output = refused_start(hub)
    assert code == 2, output
    for text in ("everyone who can reach that address", "HUB_CONTROL_KEYS=me:", "HUB_AUTH=open", f":{hub.port} "):
        assert text in output


PUBLIC = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "secret", "HUB_CONTROL_KEYS": "me:secret-of-mine-1"}


def test_a_public_livekit_secret_is_refused_beyond_loopback(hub_factory: Callable[..., HubProcess]) -> None:
    for more, arguments in (
        ({"HUB_HOST": "0.0.0.0"}, ["flask_server.py"]),
        ({}, [*CONFIG, "--bind", "0.0.0.0:{port}"]),
    ):
        hub = hub_factory(**PUBLIC, **more)
        hub.arguments = [word.format(port=hub.port) for word in arguments]
        code, output = refused_start(hub)
        assert (code, "LIVEKIT_API_SECRET: this secret is public" in output) == (2, True), output


def test_a_short_livekit_secret_is_warned_of_beyond_loopback(hub_factory: Callable[..., HubProcess]) -> None:
    for host, warned in (("0.0.0.0", True), ("localhost", False)):
        hub = hub_factory(**PUBLIC, HUB_HOST=host)
        hub.environ["LIVEKIT_API_SECRET"] = "short-but-ours"
        code, output = refused_start(hub, "--check")
        assert (code, "LIVEKIT_API_SECRET has fewer than 32" in output) == (0, warned), output


def test_no_other_server_accepts_tokens_signed_with_a_public_secret(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**PUBLIC)
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        signed = token({"room": "demo", "roomJoin": True}, secret="secret")
    with served(hub, "-m", "gunicorn", "--bind", f"0.0.0.0:{hub.port}", "flask_server:app"):
        for host, status in (("127.0.0.1", 200), (own_address(), 401)):
            url = f"http://{host}:{hub.port}/api/events"
            answer = requests.get(url, headers={"Authorization": f"Bearer {signed}"}, timeout=PATIENCE)
            assert answer.status_code == status, answer.text
            key = {"Authorization": "Bearer secret-of-mine-1"}
            assert requests.get(url, headers=key, timeout=PATIENCE).status_code == 200


def test_a_mistyped_key_stops_the_hub(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_CONTROL_KEY="me:secret-of-mine-1")
    for arguments in (
        ["flask_server.py"],
        ["flask_server.py", "--server", "gevent"],
        CONFIG,
        ["flask_server.py", "--check"],
    ):
        hub.arguments = arguments
        code, output = refused_start(hub)
        assert (code, "did you mean HUB_CONTROL_KEYS?" in output) == (2, True), output
        assert "secret-of-mine" not in output


def test_a_unix_socket_is_this_machine(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    for server in (CONFIG, ["-m", "gunicorn", "flask_server:app"]):
        hub = hub_factory()
        path = tmp_path / f"{hub.port}.sock"
        hub.arguments = [*server, "--bind", f"unix:{path}"]
        hub.launch()
        until(lambda path=path: path.exists(), "the socket")
        curl = ["curl", "-s", "--retry", "20", "--retry-connrefused", "--unix-socket", str(path)]
        for url in ("http://localhost/api/health", "http://localhost/api/events"):
            done = subprocess.run([*curl, url], capture_output=True, text=True, timeout=PATIENCE, check=True)
            assert "forbidden" not in done.stdout, done.stdout
        hub.stop()


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        *((peer, 200) for peer in ("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "")),
        *(
            (peer, 403)
            for peer in ("192.0.2.9", "::ffff:192.0.2.9", "::", "0.0.0.0", "fe80::1%lo", "10.0.0.1", "localhost")
        ),
        *((peer, 403) for peer in ("2001:db8::127.0.0.1", "128.0.0.1", "unknown", None)),
    ],
)
def test_what_counts_as_this_machine(peer: str | None, status: int, tmp_path: Path) -> None:
    app = create_app(Settings.load({"HUB_HISTORY": "memory:", "HUB_AGENT_STATE": str(tmp_path)}, None), static=tmp_path)
    environ = {"REMOTE_ADDR": peer}
    for method, path in (("GET", "/api/health"), ("POST", "/api/agent/data"), ("OPTIONS", "/api/stream")):
        answer = app.test_client().open(path, method=method, json=EVENT, environ_overrides=environ)
        assert answer.status_code == status, (method, path)
    app.close()
