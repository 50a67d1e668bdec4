"""Limits per credential and address, and failed credentials (H38)."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.server.access.access import Access
from event_hub.server.access.failures import FREE, FailedCredentials
from event_hub.server.access.limits import FREE_SEAT, Limits
from event_hub.server.access.principal import ANONYMOUS, LOCAL, Grant, Principal
from event_hub.server.access.rates import Rate, parse_rates
from event_hub.server.access.windows import MOST_KEYS, Windows
from event_hub.server.errors import RequestError
from event_hub.server.filters import Scope
from event_hub.server.settings import Settings, SettingsError

ADA, BO = (Principal("key", name, Grant(), key=name) for name in ("ada", "bo"))
KEYS = {"HUB_CONTROL_KEYS": "boss:control-secret-0001"}


def limits(**environ: str) -> Limits:
    return Limits(Settings.load({**KEYS, **environ}, None))


def came(address: str, path: str = "/api/events", method: str = "GET") -> dict[str, Any]:
    return {"REMOTE_ADDR": address, "PATH_INFO": path, "REQUEST_METHOD": method}


def test_rates_as_the_settings_write_them() -> None:
    assert parse_rates("100/s, 5000 / min,1/day") == (Rate(100, 1), Rate(5000, 60), Rate(1, 86400))
    for text in ("100", "0/s", "x/s", "1/fortnight", "-1/s", "1/s;2/s", "1e3/s"):
        with pytest.raises(ValueError, match="is not a rate"):
            parse_rates(text)
    with pytest.raises(SettingsError, match="HUB_RATE_LIMIT=fast: 'fast' is not a rate"):
        limits(HUB_RATE_LIMIT="fast")


@pytest.mark.parametrize("setting", [{"HUB_RATE_LIMIT": "1/s"}, {"HUB_CREDENTIAL_SUBSCRIBERS": "1"}])
def test_a_limit_that_would_limit_nothing_is_refused(setting: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="an open hub has no credentials"):
        Settings.load(setting, None)
    assert Settings.load({**setting, **KEYS}, None)


def test_without_settings_nothing_is_limited() -> None:
    free = limits()
    assert not free.any_rate
    for _ in range(1000):
        free.admit(came("192.0.2.1"), ADA)
        assert free.stream(came("192.0.2.1"), ADA) is FREE_SEAT


def test_a_credential_has_its_own_rate() -> None:
    limited = limits(HUB_RATE_LIMIT="3/day")
    for _ in range(3):
        limited.admit(came("192.0.2.1"), ADA)
    with pytest.raises(RequestError) as caught:
        limited.admit(came("192.0.2.2"), ADA)
    assert caught.value.kind.code == "rate_limited"
    assert 1 <= int(dict(caught.value.headers())["Retry-After"]) <= 2 * 86400
    limited.admit(came("192.0.2.1"), BO)
    for _ in range(10):
        limited.admit(came("192.0.2.1"), ANONYMOUS)
        limited.admit(came("192.0.2.1"), Principal("agent", "an agent of this hub", Grant()))


@pytest.mark.parametrize("stranger", [LOCAL, ANONYMOUS])
def test_an_address_has_its_own_rate_where_there_is_no_credential(stranger: Principal) -> None:
    limited = limits(HUB_ADDRESS_RATE_LIMIT="2/day")
    for address in ("2001:db8::1", "2001:db8::2"):  # one client has a /64
        limited.admit(came(address, "/api/sign-in", "POST"), stranger)
    with pytest.raises(RequestError):
        limited.admit(came("2001:db8::3"), stranger)
    limited.admit(came("2001:db8:0:1::1"), stranger)
    limited.admit(came("2001:db8::1"), ADA)


def test_pages_health_and_preflights_do_not_count() -> None:
    limited = limits(HUB_ADDRESS_RATE_LIMIT="1/day", HUB_RATE_LIMIT="1/day")
    for _ in range(10):
        for path in ("/", "/static/page.js", "/docs/", "/api/health", "/api/health/live", "/openapi.json"):
            limited.admit(came("192.0.2.1", path), ANONYMOUS)
            limited.admit(came("192.0.2.1", path), ADA)
        limited.admit(came("192.0.2.1", method="OPTIONS"), ANONYMOUS)
    limited.admit(came("192.0.2.1", "/metrics"), ADA)
    with pytest.raises(RequestError):
        limited.admit(came("192.0.2.1", "/metrics"), ADA)


def test_what_counts_as_one_credential() -> None:
    a, b = Grant(subscribe=Scope(("a",))), Grant(subscribe=Scope(("b",)))
    one = [
        (Principal("key", "ci", a, key="1"), Principal("key", "ci", b, key="2")),  # both secrets of a rotation
        (Principal("key", "ci", a, key="1"), Principal("key", "ci", a, key="1", expires=1.0, cookie=True)),
        (Principal("livekit", "LiveKit's ada", a, expires=1.0), Principal("livekit", "LiveKit's ada", a, expires=2.0)),
    ]
    two = [
        (Principal("livekit", "a participant", a), Principal("livekit", "a participant", b)),
        (Principal("share", "a shared link", a, 1.0, "1"), Principal("share", "a shared link", a, 2.0, "1")),
        (Principal("share", "a shared link", a, 1.0, "1"), Principal("share", "a shared link", b, 1.0, "1")),
        (Principal("key", "share", a), Principal("share", "share", a)),
    ]
    assert all(left.name == right.name for left, right in one)
    assert all(left.name != right.name for left, right in two)


@given(
    rates=st.lists(st.tuples(st.integers(1, 20), st.sampled_from([1, 60, 3600])), min_size=1, max_size=3),
    pauses=st.lists(st.floats(0, 50), min_size=30, max_size=120),
)
def test_the_time_to_wait_is_true_and_not_too_long(rates: list[tuple[int, int]], pauses: list[float]) -> None:
    now = 12345.6
    windows = Windows(tuple(Rate(*rate) for rate in rates), lambda: now)
    for pause in pauses:
        now += pause if pause < 5 else 0
        exceeded = windows.hit("a")
        if exceeded is None:
            continue
        began = now
        if exceeded.wait > 1:
            now = began + exceeded.wait - 1.001
            assert windows.hit("a") is not None, "a shorter wait would have been enough"
        now = began + exceeded.wait
        assert windows.hit("a") is None, f"refused after the {exceeded.wait} s that it was told"


def test_what_is_refused_counts_for_no_rate() -> None:
    now = 0.0
    windows = Windows((Rate(2, 1), Rate(5, 3600)), lambda: now)
    for second in (0.0, 10.0):
        now = second
        assert [windows.hit("a") is None for _ in range(20)] == [True] * 2 + [False] * 18
    now = 20.0
    assert windows.hit("a") is None
    exceeded = windows.hit("a")
    assert exceeded is not None
    assert exceeded.rate == Rate(5, 3600)


def test_memory_for_rates_is_bounded_and_no_thread_is_started() -> None:
    before = threading.active_count()
    windows = Windows((Rate(1, 86400),))
    for number in range(2 * MOST_KEYS):
        assert windows.hit(str(number)) is None
    assert len(windows) == MOST_KEYS
    assert windows.hit(str(2 * MOST_KEYS - 1)) is not None
    assert threading.active_count() == before


def test_the_package_is_loaded_only_for_a_rate() -> None:
    code = (
        "import sys; from event_hub.server.settings import Settings; from event_hub.server.app import create_app; "
        "create_app(Settings.load({'HUB_CONTROL_KEYS': 'a:secret-1', **dict(a.split('=') for a in sys.argv[1:])}, None)); "
        "print('limits' in sys.modules)"
    )
    for arguments, loaded in (["HUB_ADDRESS_SUBSCRIBERS=3"], "False"), (["HUB_RATE_LIMIT=1/s"], "True"):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == loaded


def test_open_streams_are_counted_until_they_are_over() -> None:
    limited = limits(HUB_CREDENTIAL_SUBSCRIBERS="2", HUB_ADDRESS_SUBSCRIBERS="3")
    first = limited.stream(came("192.0.2.1"), ADA)
    limited.stream(came("192.0.2.1"), ADA)
    with pytest.raises(RequestError) as caught:
        limited.stream(came("192.0.2.9"), ADA)
    assert caught.value.kind.code == "too_many_streams"
    third = limited.stream(came("192.0.2.1"), BO)
    with pytest.raises(RequestError):  # the address has three
        limited.stream(came("192.0.2.1"), BO)
    assert limited.open_streams() == ({ADA.name: 2, BO.name: 1}, {"192.0.2.1": 3}), "what was refused is not counted"
    first.release()
    first.release()  # without effect
    fourth = limited.stream(came("192.0.2.1"), ADA)
    with pytest.raises(RequestError):
        limited.stream(came("192.0.2.9"), ADA)
    third.release()
    fourth.release()
    assert limited.open_streams() == ({ADA.name: 1}, {"192.0.2.1": 1})


def test_streams_are_counted_exactly_by_threads_too() -> None:
    limited = limits(HUB_CREDENTIAL_SUBSCRIBERS="5", HUB_ADDRESS_SUBSCRIBERS="5")
    most = 0

    def churn() -> None:
        nonlocal most
        for _ in range(2000):
            with suppress(RequestError):
                seat = limited.stream(came("192.0.2.1"), ADA)
                most = max(most, *limited.open_streams()[0].values(), 0)
                seat.release()

    threads = [threading.Thread(target=churn) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 5
    assert limited.open_streams() == ({}, {})


def test_a_seat_has_the_address_that_a_named_proxy_reports() -> None:
    environ = {**came("10.0.0.1"), "HTTP_X_FORWARDED_FOR": "203.0.113.9"}
    assert limits().stream(environ, ADA).address is None
    assert limits(HUB_PROXIES="10.0.0.1").stream(environ, ADA).address == "203.0.113.9"
    assert limits(HUB_PROXIES="10.0.0.2").stream(environ, ADA).address is None
    behind = limits(HUB_PROXIES="10.0.0.0/8", HUB_ADDRESS_SUBSCRIBERS="1")
    seat = behind.stream(environ, ADA)
    assert behind.open_streams()[1] == {"203.0.113.9": 1}
    seat.release()
    assert seat.address == "203.0.113.9"


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


def test_a_valid_key_is_never_delayed() -> None:
    access = Access(Settings.load(KEYS, None))
    secret = "control-secret-0001"
    wrong, right = ({**came("192.0.2.1"), "HTTP_AUTHORIZATION": f"Bearer {key}"} for key in ("wrong-key", secret))
    refusals = [access.resolve(dict(wrong)).refusal for _ in range(FREE + 5)]
    codes = [refusal.kind.code for refusal in refusals if refusal is not None]
    assert codes == ["bad_credential"] * FREE + ["too_many_failures"] * 5
    assert access.resolve(right).label == "boss"
    assert access.sign_in(secret, came("192.0.2.1"))[0].label == "boss"
    with pytest.raises(RequestError) as caught:
        access.sign_in("wrong-key", came("192.0.2.1"))
    assert caught.value.kind.code == "too_many_failures"
    assert caught.value.more["retry_after"] == 1


def test_an_old_cookie_of_a_browser_is_no_guess() -> None:
    """A browser sends it with everything, by itself; and its signature cannot be guessed."""
    access = Access(Settings.load(KEYS, None))
    for _ in range(2 * FREE):
        cookie = {**came("192.0.2.1"), "HTTP_COOKIE": f"{access.cookie}=cookie.e30.AAAA"}
        refusal = access.resolve(cookie).refusal
        assert refusal is not None
        assert refusal.kind.code == "bad_credential"


def test_memory_and_log_of_failures_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    failures = FailedCredentials(lambda: now)
    with caplog.at_level(logging.WARNING):
        for number in range(20_000):
            failures.add(str(number))
        assert len(failures) == 10_000
        assert not caplog.records
        for number in range(1000):
            for _ in range(3 * FREE):
                failures.add(f"x{number}")
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 20
        assert lines[0] == "10 wrong credentials from x0"
        assert "more addresses" in lines[-1]
        now += 61
        failures.add("x999")
        assert len(caplog.records) == 21
