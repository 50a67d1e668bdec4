"""A subscriber whose network vanishes, without FIN or RST, is no longer counted after about HUB_STALL."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until
from ..toolchain import tool


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=PATIENCE)


@pytest.fixture
def cable() -> Iterator[tuple[str, str]]:
    """A network namespace with a cable to it: its name, and the name of our end of the cable."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a network namespace of its own")
    tool("ip")
    name = f"hub{os.getpid() % 100_000}"
    ours, theirs = f"{name}a", f"{name}b"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode()}")
    try:
        ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
        ip("link", "set", theirs, "netns", name)
        ip("addr", "add", "10.99.7.1/24", "dev", ours)
        ip("link", "set", ours, "up")
        ip("netns", "exec", name, "ip", "addr", "add", "10.99.7.2/24", "dev", theirs)
        ip("netns", "exec", name, "ip", "link", "set", theirs, "up")
        yield name, ours
    finally:
        subprocess.run(["ip", "link", "del", ours], capture_output=True, check=False, timeout=PATIENCE)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False, timeout=PATIENCE)


@pytest.mark.slow
@pytest.mark.parametrize("takeover", ["1", "0"])
def test_a_subscriber_whose_network_has_vanished_is_not_counted(
    hub_factory: Callable[..., HubProcess], cable: tuple[str, str], takeover: str
) -> None:
    namespace, ours = cable
    hub = hub_factory(
        HUB_HOST="0.0.0.0", HUB_AUTH="open", HUB_HEARTBEAT="1s", HUB_STALL="4s", HUB_TAKEOVER=takeover
    ).start()
    url = f"http://10.99.7.1:{hub.port}/api/stream"
    client = subprocess.Popen(
        ["ip", "netns", "exec", namespace, "curl", "-sN", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: hub.publish({"type": "n"})["clients_notified"] == 1, "the subscriber to be there")
        ip("netns", "exec", namespace, "ip", "link", "set", ours[:-1] + "b", "down")
        ip("neigh", "replace", "10.99.7.2", "lladdr", "02:00:00:00:00:99", "dev", ours, "nud", "permanent")
        until(lambda: hub.publish({"type": "n"})["clients_notified"] == 0, "the hub to notice", 2 * PATIENCE)
        assert requests.get(f"{hub.url}/api/subscribers", timeout=PATIENCE).json()["count"] == 0
    finally:
        client.kill()
        client.wait(PATIENCE)
