"""Forwarding to names that resolve to internal addresses: nothing is sent there, and no event is lost (SSRF)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..hubs import HubProcess, until
from .receivers import Receiver, forwards

Forwarder = Callable[..., HubProcess]

RESOLVER = """
import _socket
look_up = _socket.getaddrinfo

def from_file(host, *more, **named):
    if (host.decode() if isinstance(host, bytes) else str(host)).rstrip(".") != "crm.example":
        return look_up(host, *more, **named)
    with open({path!r}) as file:
        return [place for address in file.read().split() for place in look_up(address, *more, **named)]

_socket.getaddrinfo = from_file
"""


@pytest.fixture
def resolver(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A file with the addresses that crm.example resolves to at this moment, and the environment of a hub that reads it."""
    site, addresses = tmp_path / "site", tmp_path / "addresses"
    site.mkdir()
    (site / "sitecustomize.py").write_text(RESOLVER.format(path=str(addresses)))
    return addresses, {"PYTHONPATH": str(site)}


def refused(hub: HubProcess, address: str) -> dict[str, Any]:
    """The forward's state, once it says that `address` is internal."""

    def state() -> dict[str, Any] | None:
        (forward,) = forwards(hub)
        return forward if f"resolves to {address}, an internal address" in forward.get("error", "") else None

    found: dict[str, Any] = until(state, f"{address} to be refused")
    return found


@pytest.mark.parametrize("name", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_a_name_that_resolves_to_an_internal_address_gets_nothing(forwarder: Forwarder, name: str) -> None:
    """Not even a connection: it would tell which ports are open in the network that the hub stands in."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hub = forwarder(f"http://{name}:{listener.getsockname()[1]}/hook").start()
        hub.publish({"type": "n"})
        state = refused(hub, "127.0.0.1")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert "HUB_FORWARD_INTERNAL" in state["error"]
    assert (state["state"], state["lag"]) == ("retrying", 1), "the event waits"


def test_a_receiver_that_is_listed_may_be_internal(forwarder: Forwarder, target: Receiver) -> None:
    hub = forwarder(f"http://127.1:{target.port}/hook", HUB_FORWARD_INTERNAL="127.0.0.0/8").start()
    hub.publish({"type": "n", "n": 1})
    target.wait([1])


def test_a_name_is_checked_at_every_connection(
    forwarder: Forwarder, target: Receiver, resolver: tuple[Path, dict[str, str]]
) -> None:
    """It resolves to another address later (DNS rebinding). Once it is right again, the events that waited are sent."""
    addresses, environ = resolver
    addresses.write_text("127.0.0.1")
    hub = forwarder(f"http://crm.example:{target.port}/", HUB_FORWARD_INTERNAL="127.0.0.1", **environ).start()
    hub.publish({"type": "n", "n": 0})
    target.wait([0])
    addresses.write_text("169.254.169.254")
    target.answers = ["close"]  # the connection in use was allowed; a new one has to be checked
    hub.publish({"type": "n", "n": 1})
    refused(hub, "169.254.169.254")
    addresses.write_text("127.0.0.1")
    target.wait([0, 1])
    assert hub.output().count("an internal address") == 1


def test_of_several_addresses_only_those_allowed_are_used(
    forwarder: Forwarder, target: Receiver, resolver: tuple[Path, dict[str, str]]
) -> None:
    addresses, environ = resolver
    addresses.write_text("10.0.0.1 ::1 127.0.0.1")  # nothing listens at ::1
    hub = forwarder(f"http://crm.example.:{target.port}/", HUB_FORWARD_INTERNAL="127.0.0.1,::1", **environ).start()
    hub.publish({"type": "n", "n": 0})
    target.wait([0])
    assert hub.metrics()[f"hub_forward_failures_total{{http://crm.example.:{target.port}/}}"] == 0


def test_a_redirect_does_not_lead_to_an_internal_address(forwarder: Forwarder, target: Receiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target.default_answer = (307, {"Location": f"http://127.0.0.1:{listener.getsockname()[1]}/latest/meta-data"})
        hub = forwarder(target.url).start()
        hub.publish({"type": "n"})
        until(lambda: "a redirect" in forwards(hub)[0].get("error", ""), "the redirect to be reported")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
