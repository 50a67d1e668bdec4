"""The keys of a hub: which principal a secret belongs to. Secrets are kept as digests only."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from ..filters import NOTHING, Scope
from .key_entries import KeyEntry
from .principal import Grant, Principal


class KeyRing:
    """An immutable set of keys. A secret is looked up by its SHA-256 digest, so that the time that this takes says nothing
    about any other secret.

    `hub_secret`: known to the hub alone. The ids of keys, which are part of links and cookies, and what signs those are
    derived with it, so that no holder of a key can sign anything, and no id tells anything about a key.
    """

    def __init__(self, entries: Iterable[KeyEntry] = (), hub_secret: bytes = b"") -> None:
        self._principals: dict[bytes, Principal] = {}
        self._signing: dict[str, bytes] = {}
        for entry in entries:
            digest = _digest(entry.secret)
            known = self._principals.get(digest)
            id = _derived(hub_secret, b"id", digest).hex()[:16]
            grant = _with(known.grant if known else Grant(), entry)
            self._principals[digest] = Principal("key", entry.label, grant, key=id)
            self._signing[id] = _derived(hub_secret, b"sign", digest)
        self._by_id = {principal.key: principal for principal in self._principals.values()}

    def __bool__(self) -> bool:
        return bool(self._principals)

    def find(self, secret: str) -> Principal | None:
        """The principal of a secret."""
        return self._principals.get(_digest(secret))

    def by_id(self, id: str) -> Principal | None:
        """The principal of the key with this id."""
        return self._by_id.get(id)

    def signing_key(self, id: str) -> bytes | None:
        """What signs for the key with this id; None if there is no such key (any more)."""
        return self._signing.get(id)


def _derived(hub_secret: bytes, purpose: bytes, digest: bytes) -> bytes:
    return hmac.digest(hub_secret, purpose + b"\0" + digest, "sha256")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _with(grant: Grant, entry: KeyEntry) -> Grant:
    """`grant` and what `entry` adds to it."""
    match entry.right:
        case "control":
            return Grant(publish=None, subscribe=None, control=True)
        case "publish":
            return Grant(_union(grant.publish, entry.scope), grant.subscribe, grant.control)
        case "subscribe":
            return Grant(grant.publish, _union(grant.subscribe, entry.scope), grant.control)


def _union(one: Scope | None, other: Scope | None) -> Scope | None:
    if one is None or other is None:
        return None
    return other if one == NOTHING else Scope(one.rooms + other.rooms, one.globs + other.globs)
