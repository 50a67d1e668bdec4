"""Limits per credential and address, and failed credentials (H38)."""

from __future__ import annotations

from typing import Any

import pytest

from event_hub.server.access.failures import FREE, FailedCredentials
from event_hub.server.access.limits import Limits
from event_hub.server.access.principal import ANONYMOUS, LOCAL, Grant, Principal
from event_hub.server.access.rates import Rate, parse_rates
from event_hub.server.errors import RequestError
from event_hub.server.settings import Settings, SettingsError

ADA, BO = (Principal("key", name, Grant(), key=name) for name in ("ada", "bo"))


def limits(**environ: str) -> Limits:
    return Limits(Settings.load(environ, None))


def came(address: str) -> dict[str, Any]:
    return {"REMOTE_ADDR": address}


def test_rates_as_the_settings_write_them() -> None:
    assert parse_rates("100/s, 5000 / min,1/day") == (Rate(100, 1), Rate(5000, 60), Rate(1, 86400))
    for text in ("100", "0/s", "x/s", "1/fortnight", "-1/s", "1/s;2/s", "1e3/s"):
        with pytest.raises(ValueError, match="is not a rate"):
            parse_rates(text)
    with pytest.raises(SettingsError, match="HUB_RATE_LIMIT=fast: 'fast' is not a rate"):
        limits(HUB_RATE_LIMIT="fast")


def test_without_settings_nothing_is_limited() -> None:
    free = limits()
    assert not free.any_rate
    for _ in range(1000):
        free.admit(came("192.0.2.1"), ADA)
        free.stream(came("192.0.2.1"), ADA)


def test_a_credential_has_its_own_rate() -> None:
    limited = limits(HUB_RATE_LIMIT="3/day")
    for _ in range(3):
        limited.admit(came("192.0.2.1"), ADA)
    with pytest.raises(RequestError) as caught:
        limited.admit(came("192.0.2.2"), ADA)
    assert caught.value.kind.code == "rate_limited"
    assert 1 <= int(dict(caught.value.headers())["Retry-After"]) <= 86400
    limited.admit(came("192.0.2.1"), BO)
    for _ in range(10):
        limited.admit(came("192.0.2.1"), LOCAL)


def test_an_address_has_its_own_rate_where_there_is_no_credential() -> None:
    limited = limits(HUB_ADDRESS_RATE_LIMIT="2/day")
    for address in ("2001:db8::1", "2001:db8::2"):  # one client has a /64
        limited.admit(came(address), LOCAL)
    with pytest.raises(RequestError):
        limited.admit(came("2001:db8::3"), LOCAL)
    limited.admit(came("2001:db8:0:1::1"), LOCAL)


def test_open_streams_are_counted_until_they_are_over() -> None:
    limited = limits(HUB_CREDENTIAL_SUBSCRIBERS="2", HUB_ADDRESS_SUBSCRIBERS="3")
    first = limited.stream(came("192.0.2.1"), ADA)
    limited.stream(came("192.0.2.1"), ADA)
    with pytest.raises(RequestError) as caught:
        limited.stream(came("192.0.2.9"), ADA)
    assert caught.value.kind.code == "too_many_streams"
    limited.stream(came("192.0.2.1"), BO)
    with pytest.raises(RequestError):  # the address has three
        limited.stream(came("192.0.2.1"), BO)
    first()
    first()  # harmless
    limited.stream(came("192.0.2.1"), ADA)
    with pytest.raises(RequestError):
        limited.stream(came("192.0.2.9"), ADA)
    limited.stream(came("192.0.2.9"), ANONYMOUS)


def test_wrong_credentials_make_an_address_wait_ever_longer() -> None:
    now = 0.0
    failures = FailedCredentials(lambda: now)
    for _ in range(FREE - 1):
        failures.add("a")
    assert failures.wait("a") == 0
    waits = []
    for _ in range(12):
        failures.add("a")
        waits.append(failures.wait("a"))
        now += waits[-1]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1, 60)
    assert failures.wait("b") == 0
    now += 10_000
    failures.add("a")
    assert failures.wait("a") == 0, "old failures are forgotten"


def test_memory_for_failures_is_bounded() -> None:
    failures = FailedCredentials()
    for number in range(20_000):
        failures.add(str(number))
    assert len(failures) == 10_000
