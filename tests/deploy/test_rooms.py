"""Rooms on several hubs, with the configuration in docs/deploy.md."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from event_hub.client import Hub

from ..hubs import ROOT, HubProcess
from ..toolchain import tool
from .proxies import CERTIFICATE, Proxy

ROOMS = [*(f"room-{number}" for number in range(12)), "küche", "two words"]


def block(name: str) -> str:
    text = (ROOT / "docs" / "deploy.md").read_text()
    (found,) = re.findall(rf"<!-- test: {name} -->\n```nginx\n(.*?)```", text, re.S)
    return str(found)


def edited(text: str) -> str:
    """nginx.conf with both blocks, as the page says."""
    text = re.sub(r"upstream hub \{.*?\n    \}\n", lambda _: block("rooms upstream"), text, flags=re.S)
    return text.replace("location / { proxy_pass", block("rooms location") + "location / { proxy_pass")


def test_each_room_has_one_hub(
    hub_factory: Callable[..., HubProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("nginx")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    hubs = [hub_factory(HUB_PROXIES="127.0.0.1").start() for _ in range(2)]
    proxy = Proxy(
        "nginx",
        hubs[0].port,
        tmp_path,
        edit=lambda text: edited(text).replace("127.0.0.1:5001", f"127.0.0.1:{hubs[1].port}"),
    )
    try:
        proxy.start()
        for room in ROOMS[:12]:
            with proxy.stream(f"?room={room}") as stream:
                stream.until("stream_opened")
                with Hub(f"{proxy.url}/rooms/{room}") as publisher:
                    publisher.post({"type": "n", "room": room, "n": 1})
                assert stream.until("n")["n"] == 1
                answer = proxy.request("POST", f"/api/agent/data?room={room}", json={"type": "n", "room": room, "n": 2})
                assert answer.status_code == 200
                assert stream.until("n")["n"] == 2
        for room in ROOMS[12:]:
            path = f"/rooms/{room}/api"
            assert (
                proxy.request("POST", f"{path}/agent/data", json={"type": "n", "room": room, "n": 1}).status_code == 200
            )
            assert len(proxy.request("GET", f"{path}/events", params={"room": room}).json()["events"]) == 1
        shares = [{item["event"]["room"] for item in hub.get("/api/events?limit=1000")["events"]} for hub in hubs]
        assert shares[0] | shares[1] == set(ROOMS)
        assert not shares[0] & shares[1]
        assert all(shares)

        hubs[1].kill()  # its rooms are away, and stay its own
        for room in ROOMS:
            status = proxy.request(
                "POST", f"/rooms/{room}/api/agent/data", json={"type": "n", "room": room}
            ).status_code
            assert status == (200 if room in shares[0] else 502), room
    finally:
        proxy.stop()
