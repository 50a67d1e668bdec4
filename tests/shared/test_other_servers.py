"""H20: Sentinel, Cluster, TLS, and a user with few rights."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..hubs import PATIENCE, HubProcess, free_port, until
from ..toolchain import tool
from ..valkeys import ValkeyServer
from .conftest import hubs_on
from .traffic import Publisher, Subscriber, check

Start = Callable[..., ValkeyServer]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[ValkeyServer] = []

    def start_one(*options: str, **more: str) -> ValkeyServer:
        servers.append(ValkeyServer(*options, **more))  # type: ignore[arg-type]
        return servers[-1].start()

    yield start_one
    for server in servers:
        server.close()


@pytest.fixture
def sentinel(start: Start, tmp_path: Path) -> Iterator[tuple[str, ValkeyServer, ValkeyServer]]:
    """The URL, the primary and the replica."""
    primary = start()
    replica = start("--replicaof", "127.0.0.1", str(primary.port))
    until(lambda: b"master_link_status:up" in replica.command("INFO", "replication"), "the replica to be in sync")
    port = free_port()
    settings = tmp_path / "sentinel.conf"
    settings.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor hub 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds hub 1000\nsentinel failover-timeout hub 5000\n"
    )
    process = subprocess.Popen([primary.binary, str(settings), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        yield f"redis+sentinel://127.0.0.1:{port}/hub", primary, replica
    finally:
        process.kill()
        process.wait()


def test_a_failover(sentinel: tuple[str, ValkeyServer, ValkeyServer], tmp_path: Path) -> None:
    """The primary is killed, and the replica, which was in sync, takes over: nothing acknowledged is lost."""
    url, primary, replica = sentinel
    hubs = hubs_on(url, tmp_path)
    a, b = next(hubs)
    with Subscriber(a) as first, Subscriber(b) as second, Publisher(a, "a") as one, Publisher(b, "b") as other:
        one.wait_for(50)
        other.wait_for(50)
        one.stop()  # what the replica does not have yet when the primary dies is lost, as with any asynchronous replica
        other.stop()
        until(
            lambda: replica.command("HGET", "{hub}:meta", "head") == primary.command("HGET", "{hub}:meta", "head"),
            "sync",
        )
        primary.kill()
        with Publisher(a, "a2") as third, Publisher(b, "b2") as fourth:
            third.wait_for(50)
            fourth.wait_for(50)
            third.stop()
            fourth.stop()
            check([one, other, third, fourth], [first, second])
        assert (first.gaps, second.gaps) == ([], [])
    assert replica.command("ROLE")[0] == b"master"
    for _ in hubs:
        pass


def test_a_cluster(start: Start, tmp_path: Path) -> None:
    """All keys are in one slot, which can be on any node."""
    nodes = [start("--cluster-enabled", "yes") for _ in range(2)]
    first, second = nodes
    first.command("CLUSTER", "MEET", "127.0.0.1", second.port)
    slot = int(first.command("CLUSTER", "KEYSLOT", "{hub}:events"))
    owner = second
    other = first
    for begin, end, node in ((0, slot - 1, other), (slot, slot, owner), (slot + 1, 16383, other)):
        node.command("CLUSTER", "ADDSLOTSRANGE", begin, end)
    until(lambda: all(b"cluster_state:ok" in node.command("CLUSTER", "INFO") for node in nodes), "the cluster")
    until(lambda: len(first.command("CLUSTER", "SLOTS")) == 3, "both to know all slots")
    hubs = hubs_on(f"redis+cluster://127.0.0.1:{first.port},127.0.0.1:{second.port}", tmp_path)
    a, b = next(hubs)
    with Subscriber(a) as one, Subscriber(b) as two, Publisher(a, "a") as publisher, Publisher(b, "b") as another:
        publisher.wait_for(50)
        another.wait_for(50)
        owner.kill()
        owner.start()
        publisher.wait_for(50)
        another.wait_for(50)
        publisher.stop()
        another.stop()
        check([publisher, another], [one, two])
        assert one.gaps == two.gaps == []
    assert other.command("DBSIZE") == 0
    for _ in hubs:
        pass


def test_tls(start: Start, tmp_path: Path) -> None:
    """Debian's Redis; the wheel's Valkey has no TLS."""
    key, certificate, port = tmp_path / "key.pem", tmp_path / "cert.pem", free_port()
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        [tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
    start(
        *("--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        *("--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no"),
        binary=tool("redis-server"),
    )
    good = f"rediss://localhost:{port}?ssl_ca_certs={certificate}"
    with HubProcess(tmp_path, HUB_HISTORY=good, HUB_RATE_LIMIT="", HUB_ADDRESS_RATE_LIMIT="100/s") as hub:
        assert hub.publish({"type": "x"})["status"] == "ok"
    distrusting = HubProcess(tmp_path, HUB_HISTORY=f"rediss://localhost:{port}").launch()
    assert distrusting.process is not None
    assert distrusting.process.wait(2 * PATIENCE) == 1
    assert "certificate" in distrusting.output().lower()


def test_a_user_with_few_rights(start: Start, tmp_path: Path) -> None:
    """What docs/scale.md asks for suffices; one right less is named."""
    server = start()
    rights = ("~{hub}:*", "+@all", "-@dangerous", "-@admin")
    server.command("ACL", "SETUSER", "hub", "on", ">secret-secret", *rights)
    server.command("ACL", "SETUSER", "reader", "on", ">secret-secret", "~{hub}:*", "+@read", "+@connection")
    with HubProcess(tmp_path, HUB_HISTORY=f"redis://hub:secret-secret@127.0.0.1:{server.port}") as hub:
        assert hub.publish([{"type": "x", "room": "r", "event_id": f"{n}"} for n in range(10)])["accepted"] == 10
        assert hub.get("/api/health")["status"] == "ok"
        assert hub.metrics()["hub_history_bytes"] > 0
    refused = HubProcess(tmp_path, HUB_HISTORY=f"redis://reader:secret-secret@127.0.0.1:{server.port}").launch()
    assert refused.process is not None
    assert refused.process.wait(2 * PATIENCE) == 1
    assert "does not allow what a history needs" in refused.output()
    assert "secret-secret" not in refused.output()
