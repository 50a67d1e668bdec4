"""Wrong credentials beside subscribers, who notice nothing (H38)."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import requests

from ..hubs import PATIENCE, HubProcess

KEY = "control-secret-0001"
ENVIRON = {
    "HUB_CONTROL_KEYS": f"boss:{KEY}",
    "LIVEKIT_URL": "ws://127.0.0.1:1",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "s" * 32,
}
WRONG, CONNECTIONS, SUBSCRIBERS, EVENTS = 10_000, 4, 200, 100
KINDS = (
    "guess-%s",
    "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrZXkiLCJndWVzcyI6MX0.guess-%s",
    "share.e30.guess-%s",
    "agent.e30.guess-%s",
)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_signing_in_with_wrong_keys_is_slowed_and_with_a_valid_one_never(
    hub_factory: Callable[..., HubProcess],
) -> None:
    hub = hub_factory(**ENVIRON).start()

    def sign_in(key: str) -> requests.Response:
        return requests.post(f"{hub.url}/api/sign-in", json={"key": key}, timeout=PATIENCE)

    answers = [sign_in(f"guess-{n}") for n in range(40)]
    codes = [answer.json()["code"] for answer in answers]
    assert codes[:10] == ["bad_credential"] * 10
    assert "too_many_failures" in codes[10:]
    slowed = next(answer for answer in answers if answer.status_code == 429)
    assert int(slowed.headers["Retry-After"]) >= 1
    assert sign_in(KEY).status_code == 200
    assert requests.get(f"{hub.url}/api/events", headers=bearer(KEY), timeout=PATIENCE).status_code == 200
    assert "guess-" not in hub.output()


@pytest.mark.slow
def test_subscribers_notice_nothing_of_ten_thousand_wrong_credentials(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(**ENVIRON).start()
    statuses: set[int] = set()

    def guess(part: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=PATIENCE)
        for n in range(WRONG // CONNECTIONS):
            secret = KINDS[n % len(KINDS)] % f"{part}-{n}"
            if n % 3:
                connection.request("GET", "/api/events", headers=bearer(secret))
            else:
                connection.request("POST", f"/api/agent/data?access_token={secret}", '{"type":"n","n":-1}')
            answer = connection.getresponse()
            answer.read()
            statuses.add(answer.status)
        connection.close()

    with ExitStack() as stack:
        streams = [stack.enter_context(hub.stream(f"?access_token={KEY}")) for _ in range(SUBSCRIBERS)]
        guesses = [threading.Thread(target=guess, args=(part,)) for part in range(CONNECTIONS)]
        for thread in guesses:
            thread.start()
        for n in range(EVENTS):
            assert hub.post({"type": "n", "n": n}, headers=bearer(KEY)).status_code == 200
        for thread in guesses:
            thread.join()
        assert hub.post({"type": "last"}, headers=bearer(KEY)).status_code == 200
        for stream in streams:
            received = []
            while (event := stream.next())["type"] != "last":
                if event["type"] == "n":
                    received.append(event["n"])
            assert received == list(range(EVENTS)), "each once, in order, and nothing else"
    assert statuses == {401, 429}
    lines = [line for line in hub.output().splitlines() if "wrong credentials" in line]
    assert 1 <= len(lines) <= 5
    assert "127.0.0.1" in lines[0]
    assert "guess-" not in hub.output()
