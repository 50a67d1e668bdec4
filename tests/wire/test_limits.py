"""Limits of a real hub, and wrong keys beside subscribers who notice nothing (H38)."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import requests

from ..hubs import PATIENCE, HubProcess, until

KEY, OTHER = "control-secret-0001", "control-secret-0002"
KEYS = {"HUB_CONTROL_KEYS": f"boss:{KEY},deputy:{OTHER}"}
WRONG = 10_000


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_rate_is_told_with_the_time_to_wait(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**KEYS, HUB_RATE_LIMIT="20/h").start()
    answers = [hub.post({"type": "n", "n": n}, headers=bearer(KEY)) for n in range(25)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 5
    assert answers[-1].json()["code"] == "rate_limited"
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 3600
    assert requests.get(f"{hub.url}/api/events", headers=bearer(KEY), timeout=PATIENCE).status_code == 429
    events = requests.get(f"{hub.url}/api/events", headers=bearer(OTHER), timeout=PATIENCE).json()["events"]
    assert [item["event"]["n"] for item in events] == list(range(20)), "what was refused is not stored"
    assert requests.get(f"{hub.url}/api/health", headers=bearer(KEY), timeout=PATIENCE).status_code == 200


@pytest.mark.parametrize("takeover", ["0", "1"])
def test_streams_of_one_credential_and_address(hub_factory: Callable[..., HubProcess], takeover: str) -> None:
    limits = {"HUB_CREDENTIAL_SUBSCRIBERS": "2", "HUB_ADDRESS_SUBSCRIBERS": "3", "HUB_TAKEOVER": takeover}
    hub = hub_factory(**KEYS, **limits, HUB_HEARTBEAT="1s").start()
    mine, other = f"?access_token={KEY}", f"?access_token={OTHER}"
    with ExitStack() as stack:
        for query in (mine, mine, other):
            assert stack.enter_context(hub.stream(query)).status == 200
        for query in (mine, other):
            assert stack.enter_context(hub.stream(query)).status == 429
    until(lambda: _opens(hub, mine), "the streams that left to be counted no more")


def _opens(hub: HubProcess, query: str) -> bool:
    with hub.stream(query) as stream:
        return stream.status == 200


def test_signing_in_is_slowed_and_a_valid_key_is_not(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**KEYS).start()
    codes = [
        requests.post(f"{hub.url}/api/sign-in", json={"key": f"wrong-{n}"}, timeout=PATIENCE).json()["code"]
        for n in range(15)
    ]
    assert codes[:9] == ["bad_credential"] * 9
    assert "too_many_failures" in codes[9:]
    answer = requests.get(f"{hub.url}/api/events", headers=bearer("wrong-key-000000"), timeout=PATIENCE)
    assert answer.json()["code"] in ("too_many_failures", "bad_credential")
    assert requests.get(f"{hub.url}/api/events", headers=bearer(KEY), timeout=PATIENCE).status_code == 200
    assert "wrong-" not in hub.output()


@pytest.mark.slow
def test_subscribers_notice_nothing_of_ten_thousand_wrong_keys(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**KEYS).start()
    statuses: set[int] = set()

    def guess(part: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=PATIENCE)
        for n in range(WRONG // 4):
            connection.request("GET", "/api/events", headers=bearer(f"guess-{part}-{n}-000000"))
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)
        connection.close()

    with ExitStack() as stack:
        streams = [stack.enter_context(hub.stream(f"?access_token={KEY}")) for _ in range(100)]
        guesses = [threading.Thread(target=guess, args=(part,)) for part in range(4)]
        for thread in guesses:
            thread.start()
        for n in range(50):
            assert hub.post({"type": "n", "n": n}, headers=bearer(KEY)).status_code == 200
        for thread in guesses:
            thread.join()
        for stream in streams:
            assert [stream.until("n")["n"] for _ in range(50)] == list(range(50))
    assert statuses == {401, 429}
    lines = [line for line in hub.output().splitlines() if "wrong credentials" in line]
    assert 1 <= len(lines) <= 5
    assert "guess-" not in hub.output()
