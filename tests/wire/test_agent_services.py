"""A program that serves at an address of its own, supervised like any agent."""

from __future__ import annotations

from collections.abc import Callable

import requests

from ..hubs import PATIENCE, HubProcess
from .agents import agent, history, reaches, start, started, stop


def test_the_status_has_the_address_at_which_a_service_answers(launching: Callable[..., HubProcess]) -> None:
    hub = launching("serves")
    agent_id = started(hub)["agent_id"]
    address = reaches(hub, "ready")["address"]
    assert requests.get(address, timeout=PATIENCE).text == agent_id
    (event,) = history(hub, "agent_ready")
    assert event["address"] == address, "subscribers receive it too"

    second = start(hub)
    assert (second.status_code, second.json()["code"]) == (409, "agent_running")
    assert (second.json()["agent"]["agent_id"], second.json()["agent"]["address"]) == (agent_id, address)

    assert stop(hub).json()["status"] == "stopped"
    assert agent(hub)["address"] is None


def test_the_next_hub_knows_the_address(launching: Callable[..., HubProcess]) -> None:
    hub = launching("serves")
    agent_id = started(hub)["agent_id"]
    address = reaches(hub, "ready")["address"]
    hub.kill()
    hub.start()
    facts = reaches(hub, "ready")
    assert (facts["found"], facts["address"]) == (True, address)
    assert requests.get(facts["address"], timeout=PATIENCE).text == agent_id
