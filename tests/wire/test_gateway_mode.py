"""The launcher's mode `gateway`: our own gateway, whatever HUB_AGENT is."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import requests

from ..gateway.gateways import client
from ..hubs import PATIENCE, HubProcess, free_port, until
from .agents import agent, exits, history, reaches, start, stop


def test_the_gateway_is_a_service_with_an_address(launching: Callable[..., HubProcess]) -> None:
    """Started, found in /api/config, refused a second time, reporting to the hub, stopped."""
    port = free_port()
    hub = launching("serves", GATEWAY_PORT=str(port))
    config = f"{hub.url}/api/config"
    assert requests.get(config, timeout=PATIENCE).json()["gateway"] is None
    begun = start(hub, mode="gateway")
    assert (begun.status_code, begun.json()["mode"]) == (202, "gateway")
    address = reaches(hub, "ready")["address"]
    assert address == f"http://localhost:{port}"
    assert requests.get(config, timeout=PATIENCE).json()["gateway"] == {
        "address": address,
        "pages": [
            {"name": "voice", "url": f"{address}/voice.html"},
            {"name": "chat", "url": f"{address}/websocket_client.html"},
            {"name": "llm", "url": f"{address}/chat_client.html"},
        ],
    }
    for base in (address, hub.url):
        icon = requests.get(f"{base}/favicon.ico", timeout=PATIENCE)
        assert (icon.status_code, icon.headers["Content-Type"].split(";")[0]) == (200, "image/svg+xml")
    assert start(hub, mode="gateway").json()["code"] == "agent_running"
    refused = start(hub, mode="gateway", room="demo")
    assert (refused.status_code, refused.json()["field"]) == (422, "room")

    with client(f"ws://127.0.0.1:{port}/chat") as chat:
        chat.send({"message": "What is the weather in Oslo?"})
        assert chat.until("result")[-1]["events"]
    transcripts = [event for event in history(hub, "transcript") if event.get("room") == "gateway"]
    assert transcripts[0]["text"] == "What is the weather in Oslo?"

    assert stop(hub).json()["status"] == "stopped"
    assert requests.get(config, timeout=PATIENCE).json()["gateway"] is None


def hub_processes(hub: HubProcess, gateway: int) -> list[psutil.Process]:
    """The hub's own processes, without the gateway and its children."""
    assert hub.process is not None
    top = psutil.Process(hub.process.pid)
    not_hub = {gateway, *(child.pid for child in psutil.Process(gateway).children(recursive=True))}
    return [process for process in [top, *top.children(recursive=True)] if process.pid not in not_hub]


def test_the_hub_starts_it_by_itself_and_again_after_a_crash(launching: Callable[..., HubProcess]) -> None:
    """HUB_AGENTS=gateway; kill -9; LiveKit, which the gateway loads, never reaches the hub's processes."""
    port = free_port()
    hub = launching(GATEWAY_PORT=str(port), HUB_AGENTS="gateway")
    first = reaches(hub, "ready")
    assert (first["mode"], first["address"]) == ("gateway", f"http://localhost:{port}")
    for process in hub_processes(hub, first["pid"]):
        assert not any("livekit" in mapped.path for mapped in process.memory_maps())
        assert process.memory_info().rss < 120 << 20, "LiveKit alone takes 140 MB"
    psutil.Process(first["pid"]).kill()
    until(lambda: exits(hub), "the end to be noticed")
    assert exits(hub) == [(-9, "crashed", "restarting")]
    second = until(lambda: (facts := agent(hub))["status"] == "ready" and facts, "the gateway to be back", 2 * PATIENCE)
    assert (second["agent_id"], second["restarts"], second["address"]) == (first["agent_id"], 1, first["address"])
    assert second["pid"] != first["pid"]
    assert requests.get(f"{second['address']}/health", timeout=PATIENCE).json()["status"] == "ok"
    assert stop(hub).json()["status"] == "stopped"


def test_a_busy_port_is_named_in_the_status(launching: Callable[..., HubProcess]) -> None:
    busy = launching()
    hub = launching(GATEWAY_PORT=str(busy.port))
    start(hub, mode="gateway")
    failed = reaches(hub, "restarting")
    assert f"Port {busy.port} is taken" in failed["error"]
    stop(hub)
    assert agent(hub)["address"] is None
