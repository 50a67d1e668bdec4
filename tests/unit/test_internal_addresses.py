"""Which addresses a webhook receiver may have (SSRF)."""

from __future__ import annotations

import pytest

from event_hub.server.forward.internal_addresses import Internal, parse_address, parse_internal
from event_hub.server.settings import Settings, SettingsError

INTERNAL = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::",
    "192.0.0.192", "192.88.99.1", "168.63.129.16", "100.100.100.200", "64:ff9b:1::a9fe:a9fe", "fec0::1", "::7f00:1",
    "::ffff:0:7f00:1", "fd00:ec2::254", "2001:db8::1", "3fff::1", "5f00::1", "ff0e::1", "2001:0:102:304:0:0:8000:fffe",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700:4700::1111",
    "64:ff9b::101:101",
    "::ffff:1.1.1.1",
    "168.63.129.17",
    "192.0.1.1",
]


@pytest.mark.parametrize("address", INTERNAL)
def test_a_name_may_not_resolve_to_an_internal_address(address: str) -> None:
    assert not Internal().allows("crm.example.org", address)
    assert Internal(names=("crm.example.*",)).allows("CRM.example.org.", address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert Internal().allows("crm.example.org", address)


def test_an_address_in_the_setting_is_named_by_that() -> None:
    assert Internal().allows("10.0.0.1", "10.0.0.1")
    assert Internal().allows("[::1]", "::1")
    assert Internal().allows("localhost", "127.0.0.1")
    assert Internal().allows("app.localhost", "::1")
    assert not Internal().allows("localhost", "10.0.0.1")
    assert not Internal().allows("localhost.example.org", "127.0.0.1")
    assert not Internal().allows("mylocalhost", "127.0.0.1")
    assert not Internal().allows("10.0.0.1", "10.0.0.2")
    assert not Internal().allows("crm", "not an address")


def test_networks_and_names() -> None:
    some = parse_internal("crm, *.internal, 10.0.0.0/8, ::1")
    assert some.allows("anything.example", "10.9.9.9")
    assert some.allows("a.internal", "192.168.0.1")
    assert some.allows("x", "::1")
    assert some.allows("x", "::ffff:10.0.0.1")
    assert parse_internal("64:ff9b::a00:1").allows("x", "64:ff9b::a00:1"), "as the error spells it"
    assert not parse_internal("64:ff9b::a00:1").allows("x", "10.0.0.1")
    assert not some.allows("x", "192.168.0.1")
    assert not some.allows("crm2", "192.168.0.1")
    for text in ("http://crm", "a b", "10.0.0.1/8", "crm:80", "é"):
        with pytest.raises(ValueError, match="neither a host name"):
            parse_internal(text)
    with pytest.raises(SettingsError, match="HUB_FORWARD_INTERNAL=a b"):
        Settings.load({"HUB_FORWARD_INTERNAL": "a b"}, None)


def test_what_is_no_address() -> None:
    for text in ("", "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "crm"):
        assert parse_address(text) is None
