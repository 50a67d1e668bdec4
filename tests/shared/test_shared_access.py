"""H20: limits, sign-ins and agents of hubs that share a history."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests

from event_hub.server.access.rates import Rate
from event_hub.server.access.windows import SharedWindows
from event_hub.server.history.valkey.address import ServerAddress

from ..hubs import PATIENCE, HubProcess, until
from ..valkeys import ValkeyServer
from .conftest import hubs_on

Hubs = tuple[HubProcess, HubProcess]
OPS = {"Authorization": "Bearer 0123456789abcdef"}
VIEWER = {"Authorization": "Bearer viewer-0123456789"}
CI = {"Authorization": "Bearer publisher-0123456789"}


@pytest.fixture(scope="module")
def limited(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hubs]:
    yield from hubs_on(
        f"{valkey_server.url}?prefix={os.urandom(4).hex()}",
        tmp_path_factory.mktemp("limited"),
        OPS,
        HUB_CONTROL_KEYS="ops:0123456789abcdef",
        HUB_SUBSCRIBE_KEYS="viewer:viewer-0123456789",
        HUB_PUBLISH_KEYS="ci:publisher-0123456789",
        HUB_RATE_LIMIT="30/h",
        HUB_CREDENTIAL_SUBSCRIBERS="3",
    )


def test_requests_at_both_count_together(limited: Hubs) -> None:
    codes = [
        requests.post(
            f"{limited[n % 2].url}/api/agent/data", json={"type": "x"}, headers=CI, timeout=PATIENCE
        ).status_code
        for n in range(34)
    ]
    assert codes == [200] * 30 + [429] * 4


def test_streams_at_both_count_together(limited: Hubs) -> None:
    a, b = limited
    query = "?access_token=viewer-0123456789"
    with a.stream(query) as first, a.stream(query) as second, b.stream(query) as third:
        for stream in (first, second, third):
            stream.until("stream_opened")

        def refused() -> bool:
            with a.stream(query) as fourth:
                return fourth.status == 429

        until(refused, "the hub to know of the streams elsewhere")


def test_a_sign_in_is_valid_at_both(limited: Hubs) -> None:
    a, b = limited
    signed_in = requests.post(f"{a.url}/api/sign-in", json={"key": "0123456789abcdef"}, timeout=PATIENCE)
    assert signed_in.status_code in (200, 204), signed_in.text
    cookies = signed_in.cookies.get_dict()
    assert cookies
    found = requests.get(f"{b.url}/api/config", cookies=cookies, timeout=PATIENCE)
    assert found.json()["access"]["label"] == "ops", found.text


def test_requests_do_not_wait_for_each_other_while_the_server_is_away() -> None:
    """They are counted by each process alone: after one timeout for all of them, not after one for each."""
    with closing(ValkeyServer().start()) as server:
        windows = SharedWindows((Rate(1000, 60),), ServerAddress(server.unix_url))
        assert windows.hit("a") is None
        server.pause()
        try:
            threads = [threading.Thread(target=windows.hit, args=("a",), daemon=True) for _ in range(100)]
            for thread in threads:
                thread.start()
            until(lambda: not any(thread.is_alive() for thread in threads), "the requests to be counted")
        finally:
            server.resume()
        assert len(windows._alone) > 0
