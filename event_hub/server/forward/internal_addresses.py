"""Which addresses are internal, and which of them webhook receivers may have. Pure.

Whoever controls the name of a receiver could otherwise have the hub send requests into the network that it stands in
(server-side request forgery), for example to a cloud's metadata service.
"""

from __future__ import annotations

import ipaddress
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All public IPv6 addresses. Outside are those that a translator or tunnel may turn into any IPv4 address."""
_ALSO_INTERNAL: tuple[Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is Oracle Cloud's metadata service
            "192.88.99.0/24",  # relays of 6to4
            "168.63.129.16/32",  # public by its number, but it is Azure's host, which serves each machine its secrets
            "3fff::/20",  # documentation
        ),
    )
)
"""What `ipaddress` calls public, in some versions of Python or in all."""


class Internal(NamedTuple):
    """Internal hosts that are allowed: patterns of names, and networks of addresses."""

    names: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    def allows(self, host: str, address: str) -> bool:
        """Whether a receiver named `host` in the settings may be at `address`.

        A public address is always allowed. So is the address that `host` itself is: the operator has named it. `localhost`
        means this machine, and no other.
        """
        found = parse_address(address)
        if found is None:
            return False
        if not is_internal(found):
            return True
        host = host.strip("[]").rstrip(".").lower()
        literal = parse_address(host)
        if literal is not None and literal == found:
            return True
        if (host == "localhost" or host.endswith(".localhost")) and found.is_loopback:
            return True
        as_reported = ipaddress.ip_address(address.partition("%")[0])
        return any(fnmatchcase(host, name) for name in self.names) or any(
            found in net or as_reported in net for net in self.networks
        )


def parse_internal(text: Any) -> Internal:
    """`crm,*.internal,10.0.0.0/8` → the hosts. Raises ValueError."""
    names: list[str] = []
    networks: list[Network] = []
    for part in filter(None, (part.strip().lower() for part in str(text).split(","))):
        try:
            networks.append(ipaddress.ip_network(part))
            continue
        except ValueError:
            pass
        if "/" in part or ":" in part or not part.isascii() or not part.isprintable() or " " in part:
            raise ValueError(f"{part[:64]!r} is neither a host name (crm, *.internal) nor a network (10.0.0.0/8)")
        names.append(part.rstrip("."))
    return Internal(tuple(names), tuple(networks))


def is_internal(address: Address) -> bool:
    """Whether it is not on the public internet: loopback, private, link-local, shared, multicast, reserved, metadata."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return True
    return not address.is_global or address.is_multicast or any(address in network for network in _ALSO_INTERNAL)


def parse_address(text: str) -> Address | None:
    """An address as a socket reports it; an IPv4 address inside an IPv6 one counts as itself. None if it is no address."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return found
    if found in _NAT64:
        return ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    teredo = found.teredo[1] if found.teredo is not None else None
    return found.ipv4_mapped or found.sixtofour or teredo or found
