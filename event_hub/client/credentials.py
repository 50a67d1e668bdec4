"""The credential that a client sends to its hub: a key, a key in a file, or a LiveKit token.

A credential is sent as `Authorization: Bearer`, to the hub's own address only, and appears in no URL, log line, `repr` or
error message: those name where it comes from.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from .errors import CredentialUnavailable
from .livekit_token import recording_token, signed_token

Key: TypeAlias = "str | Callable[[], str] | Credential | None"
"""What `key=` accepts: a key, `@FILE`, a function that returns the current key, or a `Credential`."""

_MAX_FILE = 16 << 10
"""Maximum bytes of a key's file; a LiveKit token is at most this long too."""


class Credential:
    """The contract, and the credential of a client that has none. Several threads may use one at once.

    `source` names it in error messages; it is empty if there is none. `publishing_only`: it is not for requests that read.
    `livekit`: it is signed with LiveKit's API secret, which the hub must then know.
    """

    source: str = ""
    publishing_only: bool = False
    livekit: bool = False

    def bearer(self) -> str | None:
        """What to send now, or None. Raises `CredentialUnavailable`."""
        return None

    def renewed(self, refused: str | None) -> str | None:
        """What to send instead of `refused`, which the hub no longer accepts; None if there is nothing else. Raises
        `CredentialUnavailable`."""
        newer = self.bearer()
        return newer if newer != refused else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.source or 'none'}>"


class FixedKey(Credential):
    """A key that stays the same. Raises ValueError if it cannot be sent in a header."""

    def __init__(self, key: str, source: str) -> None:
        self.source = source
        self._key = checked(key, source)

    def bearer(self) -> str | None:
        return self._key


class KeyFile(Credential):
    """The key in a file, which is read again whenever the file changes: keys can be rotated while the program runs.

    Raises ValueError if the file cannot be read or does not contain a key. If that happens later, the last key stays.
    """

    def __init__(self, path: str, source: str) -> None:
        self.source = source
        self._state: tuple[int, ...] = ()
        self._key = ""
        try:
            self._path = Path(path).expanduser()  # a shell does not expand @~
            self._read()
        except OSError as error:
            raise ValueError(f"{source} cannot be read: {error.strerror or type(error).__name__}.") from None
        except RuntimeError:  # ~ of an unknown user
            raise ValueError(f"{source} cannot be read: there is no such home directory.") from None

    def bearer(self) -> str | None:
        try:
            self._read()
        except (OSError, ValueError):  # it is being replaced
            pass
        return self._key

    def _read(self) -> None:
        found = self._path.stat()
        state = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        if state == self._state:
            return
        with self._path.open("rb") as file:
            text = file.read(_MAX_FILE + 1).decode("utf-8", "replace")
        key = checked(text, self.source)
        if not key:
            raise ValueError(f"{self.source} is empty.")
        self._key, self._state = key, state


class KeyFunction(Credential):
    """A key from a function, which is called for each request and again if the hub refuses what it returned."""

    source = "the key that the key function returned"

    def __init__(self, function: Callable[[], str]) -> None:
        self._function = function

    def bearer(self) -> str | None:
        try:
            return checked(self._function(), self.source) or None
        except Exception as error:  # its text may contain a secret
            raise CredentialUnavailable(f"the key function raised {type(error).__name__}") from None


class LiveKitSecret(Credential):
    """Short-lived tokens signed with LIVEKIT_API_KEY and LIVEKIT_API_SECRET, for publishing only: to any room, or to `room`
    alone."""

    source = "the token made from LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
    publishing_only = True
    livekit = True

    def __init__(self, key: str, secret: str, room: str | None = None) -> None:
        self._key, self._secret = key, secret
        self._room = room
        self._made = ("", 0.0)

    def bearer(self) -> str | None:
        self._made = made = signed_token(self._key, self._secret, self._room, self._made)
        return made[0]


def credential(given: Key = None) -> Credential:
    """The credential to use: `given`, else HUB_KEY, else LIVEKIT_API_KEY and LIVEKIT_API_SECRET (for publishing), else
    none. An empty `given` means none. Raises ValueError if it cannot be sent, TypeError if it is of another type."""
    if given is None:
        return _from_text(os.environ.get("HUB_KEY", ""), "HUB_KEY") or from_livekit() or Credential()
    if isinstance(given, Credential):
        return given
    if callable(given):
        return KeyFunction(given)
    if not isinstance(given, str):
        raise TypeError(f"key must be a string or a function, not {type(given).__name__}")
    environment = os.environ.get("HUB_KEY", "").strip()
    return _from_text(given, "HUB_KEY" if environment == given.strip() else "the given key") or Credential()


def from_environment() -> Credential | None:
    """The credential in HUB_KEY, or None. Raises ValueError if it cannot be sent."""
    return _from_text(os.environ.get("HUB_KEY", ""), "HUB_KEY")


def from_livekit(room: str | None = None) -> Credential | None:
    """Tokens made from LIVEKIT_API_KEY and LIVEKIT_API_SECRET for `room` (None: any room), or None unless both are set."""
    key, secret = (os.environ.get(name, "").strip() for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"))
    return LiveKitSecret(key, secret, room) if key and secret else None


def for_recordings() -> str | None:
    """What to send with a recording: HUB_KEY, or a token made from LIVEKIT_API_KEY and LIVEKIT_API_SECRET; None if neither
    is set. Raises ValueError if HUB_KEY cannot be sent."""
    if (key := from_environment()) is not None:
        return key.bearer()
    api_key, secret = (os.environ.get(name, "").strip() for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"))
    return recording_token(api_key, secret) if api_key and secret else None


def checked(text: str, source: str) -> str:
    """`text` without surrounding spaces. Raises ValueError, without the text, if it cannot be sent in a header."""
    key = text.strip()
    if not key.isascii() or not key.isprintable() or " " in key or len(key) > _MAX_FILE:
        raise ValueError(f"The hub's key ({source}) must be a single word of ASCII characters.")
    return key


def _from_text(text: str, source: str) -> Credential | None:
    text = text.strip()
    if text.startswith("@"):
        path = text[1:].strip()
        if not path:
            raise ValueError(f"The hub's key ({source}) names no file: write @FILE.")
        return KeyFile(path, f"the key in {path}")
    return FixedKey(text, "the given key" if source == "the given key" else f"the key in {source}") if text else None
