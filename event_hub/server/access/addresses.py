"""The address that a request came from, behind proxies too. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOPS = 32
"""Addresses of `X-Forwarded-For` that are looked at, from the right: more proxies in a row do not occur."""
_HOST_BITS = 64
"""A client has a whole /64 of IPv6 addresses, so that is what counts as one."""


def networks(proxies: Sequence[str]) -> tuple[Network, ...]:
    """The networks in `HUB_PROXIES`."""
    return tuple(ipaddress.ip_network(proxy) for proxy in proxies)


def client_address(environ: Mapping[str, Any], proxies: Sequence[Network]) -> str:
    """The client's address; "" if the peer has none (a Unix socket).

    `X-Forwarded-For` counts only from a peer in `proxies`. Each proxy appends the address that it sees, so the client is the
    rightmost one that is not a proxy's; what is left of it, the client may have made up.
    """
    peer = str(environ.get("REMOTE_ADDR", ""))
    if not proxies or not _is_proxy(peer, proxies):
        return peer
    client = peer
    hops = str(environ.get("HTTP_X_FORWARDED_FOR", ""))[-_HOPS * 48 :].split(",")[-_HOPS:]
    for hop in reversed(hops):
        found = _parse(hop)
        if found is None:
            return client
        client = str(found)
        if not any(found in network for network in proxies):
            return client
    return client


@lru_cache(maxsize=1024)
def is_loopback(peer: str) -> bool:
    """Whether the peer of a connection is on this machine; "" is that of a Unix socket."""
    found = _parse(peer)
    return not peer or (found is not None and found.is_loopback)


def group(address: str) -> str:
    """What counts as one client: an IPv4 address, or a /64 of IPv6."""
    found = _parse(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, _HOST_BITS), strict=False))
    return str(found) if found is not None else address


@lru_cache(maxsize=1024)
def _is_proxy(peer: str, proxies: Sequence[Network]) -> bool:
    found = _parse(peer)
    return found is not None and any(found in network for network in proxies)


def _parse(text: str) -> Address | None:
    """An address, perhaps in brackets and with a port; an IPv4 address that is written as IPv6 becomes IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
