"""The credential that the launcher gives to an agent ends with the agent, and no credential is in the agent's log."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until
from ..wire.agents import program

KEY = {"Authorization": "Bearer control-secret-0001"}


def call(hub: HubProcess, method: str, path: str, **options: Any) -> Any:
    answer = requests.request(method, f"{hub.url}{path}", headers=KEY, timeout=PATIENCE, **options)
    assert answer.ok, answer.text
    return answer.json()


def facts(hub: HubProcess) -> dict[str, Any]:
    agents = call(hub, "GET", "/api/agent/status")["agents"]
    return dict(agents[0]) if agents else {"status": "none"}


def reaches(hub: HubProcess, *states: str) -> dict[str, Any]:
    until(lambda: facts(hub)["status"] in states, f"the agent to be {states}")
    return facts(hub)


def credential(agent: dict[str, Any]) -> str:
    return psutil.Process(agent["pid"]).environ()["HUB_KEY"]


def post(hub: HubProcess, secret: str) -> tuple[int, str | None]:
    answer = hub.post({"type": "test"}, headers={"Authorization": f"Bearer {secret}"})
    return answer.status_code, answer.json().get("code")


ENDED = (401, "credential_expired")


@pytest.fixture
def guarded_hub(hub_factory: Callable[..., HubProcess]) -> Any:
    hubs: list[HubProcess] = []

    def make(*behaviour: str, **options: Any) -> HubProcess:
        hub = hub_factory(HUB_CONTROL_KEYS="me:control-secret-0001", HUB_AGENT=program(*behaviour), **options).start()
        hubs.append(hub)
        return hub

    yield make
    for hub in hubs:
        if hub.process is not None and hub.process.poll() is None:
            call(hub, "POST", "/api/agent/stop?wait=20s")


def test_it_ends_when_the_agent_is_stopped(guarded_hub: Callable[..., HubProcess]) -> None:
    hub = guarded_hub("ready")
    call(hub, "POST", "/api/agent/start")
    secret = credential(reaches(hub, "ready"))
    assert post(hub, secret) == (200, None)
    call(hub, "POST", "/api/agent/stop?wait=20s")
    reaches(hub, "stopped")
    assert post(hub, secret) == ENDED
    call(hub, "POST", "/api/agent/start")
    other = credential(reaches(hub, "ready"))
    assert (post(hub, secret), post(hub, other)) == (ENDED, (200, None)), "it is not the next agent's"
    assert [event["event"]["type"] for event in call(hub, "GET", "/api/events?type=session_ended")["events"]]
    hub.kill()
    hub.start()
    reaches(hub, "ready")
    assert (post(hub, secret), post(hub, other)) == (ENDED, (200, None))
    call(hub, "POST", "/api/agent/stop?wait=20s")
    hub.stop()
    hub.start()
    assert (post(hub, secret), post(hub, other)) == (ENDED, ENDED), "nor after a restart of the hub"


def test_it_ends_when_the_agent_has_crashed_for_good(guarded_hub: Callable[..., HubProcess], tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    hub = guarded_hub("waits_then_exits", "2", str(flag))
    call(hub, "POST", "/api/agent/start")
    secret = credential(reaches(hub, "ready"))
    flag.touch()
    reaches(hub, "crashed")
    assert post(hub, secret) == ENDED


@pytest.mark.parametrize("server", ["gunicorn", "werkzeug"])
def test_a_running_agent_keeps_it_after_kill_9_of_the_hub(guarded_hub: Callable[..., HubProcess], server: str) -> None:
    hub = guarded_hub("ready", server=server)
    call(hub, "POST", "/api/agent/start")
    before = reaches(hub, "ready")
    secret = credential(before)
    hub.kill()
    hub.start()  # its first request may come before the hub has taken over its agents
    assert post(hub, secret) == (200, None)
    after = reaches(hub, "ready")
    assert (after["agent_id"], after["found"]) == (before["agent_id"], True)
    assert post(hub, secret) == (200, None)
    hub.kill()
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: not psutil.pid_exists(before["pid"]) or psutil.Process(before["pid"]).status() == "zombie", "its end")
    hub.start()
    reaches(hub, "stopped")
    assert post(hub, secret) == ENDED


def test_a_restarted_agent_may_still_publish(guarded_hub: Callable[..., HubProcess]) -> None:
    hub = guarded_hub("ready")
    call(hub, "POST", "/api/agent/start")
    first = reaches(hub, "ready")
    os.kill(first["pid"], signal.SIGKILL)
    until(lambda: facts(hub)["restarts"] == 1 and facts(hub)["status"] == "ready", "the restart")
    assert post(hub, credential(facts(hub))) == (200, None)


def test_an_invented_or_old_credential_is_refused(guarded_hub: Callable[..., HubProcess], tmp_path: Path) -> None:
    from event_hub.server.access import signed

    hub = guarded_hub("ready")
    call(hub, "POST", "/api/agent/start")
    reaches(hub, "ready")
    (file,) = tmp_path.rglob("credentials-secret")
    for payload in ({}, {"agent": None}, {"agent": "../../x"}, {"agent": "ag_0000000000"}, {"agent": ["a"]}):
        assert post(hub, signed.sign("agent", payload, file.read_bytes())) == ENDED
    assert (
        post(hub, signed.sign("agent", {"agent": facts(hub)["agent_id"]}, b"another secret of 32 bytes here"))[0] == 401
    )


def test_the_log_shows_no_key_of_the_hub(guarded_hub: Callable[..., HubProcess], tmp_path: Path) -> None:
    """A program can learn them: it runs as the hub's user, and can read the file."""
    keys = tmp_path / "keys"
    keys.write_text("subscribe wall:s3cr3t\npublish ci:in-the-file-00001@room-*\n")
    hub = guarded_hub(
        "ready",
        HUB_KEYS_FILE=str(keys),
        HUB_SUBSCRIBE_KEYS="a:first-of-two-0001,b:second-of-two-0001@room",
        HUB_KEY="the-key-of-a-publisher",
    )
    call(hub, "POST", "/api/agent/start")
    agent = reaches(hub, "ready")
    (log,) = tmp_path.rglob(f"{agent['agent_id']}.log")

    def shown(*secrets: str) -> list[str]:
        with log.open("a") as file:
            file.write("".join(f'the secret is {secret}, "{secret}"\n' for secret in secrets))
        lines = requests.get(f"{hub.url}/api/agent/logs", headers=KEY, timeout=PATIENCE).text.splitlines()
        return [line for line in lines if any(secret in line for secret in secrets)]

    secrets = ["s3cr3t", "in-the-file-00001", "first-of-two-0001", "second-of-two-0001", "control-secret-0001"]
    assert shown(*secrets, "the-key-of-a-publisher", credential(agent)) == []
    keys.write_text("subscribe wall:the-next-one\n")
    os.kill(hub.worker_pid(), signal.SIGHUP)
    until(lambda: "keys were read again" in hub.output(), "the new keys")
    assert shown("the-next-one", *secrets) == []
