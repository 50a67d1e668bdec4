"""How the values of settings are written: each function parses one kind, or raises ValueError with a sentence."""

from __future__ import annotations

import ipaddress
import re
import shlex
from typing import Any, NamedTuple

from pydantic import SecretStr, ValidationInfo

from .access import key_entries
from .filters import Filter
from .forward import signing
from .forward.targets import parse as parse_targets
from .forward.targets import refuse_own
from .history import SHARED, Retention
from .pricing import Prices
from .units import seconds, size


class RoomRetention(NamedTuple):
    """Events of a room, a name or a pattern with `*`, are erased after `age` seconds."""

    room: str
    age: float


def room_retention(text: Any) -> tuple[RoomRetention, ...]:
    """`support-*:24h,demo:1h`"""
    rules = []
    for part in filter(None, (part.strip() for part in str(text).split(","))):
        room, _, age = part.rpartition(":")
        try:
            Filter.of(rooms=[room.strip()])
            rules.append(RoomRetention(room.strip(), seconds(age)))
        except ValueError as error:
            raise ValueError(f"{part[:64]!r} is not ROOM:AGE, such as support-*:24h ({error})") from None
        if not room.strip():
            raise ValueError(f"{part[:64]!r} names no room: write ROOM:AGE, such as support-*:24h")
    return tuple(rules)


def retention(text: Any) -> Retention:
    age: float | None = None
    limit: int | None = None
    for part in filter(None, (part.strip() for part in str(text).split(","))):
        try:
            if age is None and not part.lower().endswith("b"):
                age = seconds(part)
            elif limit is None:
                limit = size(part)
            else:
                raise ValueError
        except ValueError:
            raise ValueError("is not a retention: write an age, a size, or both, such as 7d,1GB") from None
    return Retention(age, limit)


def switch(text: Any) -> bool:
    if str(text).lower() not in ("0", "1"):
        raise ValueError("must be 0 or 1")
    return str(text) == "1"


ORIGIN = re.compile(r"(https?)://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.IGNORECASE)
"""Scheme, host and port of an origin as browsers write it, with internationalised names in ASCII (`xn--…`)."""
_USUAL = {"http": "80", "https": "443"}


def origins(text: Any) -> tuple[str, ...]:
    return tuple(origin(part.strip().rstrip("/")) for part in str(text).split(",") if part.strip())


def origin(text: str) -> str:
    """The origin as browsers send it: in lower case, without the default port."""
    if text in ("*", "null"):
        return text
    if "*" in text:
        raise ValueError(f"{text!r}: * cannot be part of an origin: list each one, or write * alone for all")
    found = ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not an origin: write https://example.org, several separated by commas, or *")
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    return f"{scheme}://{host}" + (f":{int(port)}" if port and port != _USUAL[scheme] else "")


def addresses(text: Any) -> tuple[str, ...]:
    given = tuple(part.strip() for part in str(text).split(",") if part.strip())
    for address in given:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            raise ValueError(
                f"{address!r} is not an address: write 10.0.0.1, or a network such as 10.0.0.0/8"
            ) from None
    return given


def history(text: SecretStr) -> SecretStr:
    url = text.get_secret_value()
    if url.startswith(SHARED):
        from .history.valkey.address import ServerAddress

        ServerAddress(url)
    elif url != "memory:" and not (url.startswith("sqlite:///") and len(url) > len("sqlite:///")):
        raise ValueError("is not a history: write memory:, sqlite:///var/hub.db or redis://localhost:6379")
    return text


def shown(value: str) -> str:
    """A value without the password that a URL in it may contain."""
    return re.sub(r"//[^/]*@", "//…@", value)


def workers(number: int, history: SecretStr | None) -> int:
    """Several processes need a history that they share."""
    if number > 1 and history is not None and not history.get_secret_value().startswith(SHARED):
        raise ValueError(
            f"{number} processes need a history that they share: set HUB_HISTORY=redis://…, or remove HUB_HISTORY, and the "
            "hub starts a Valkey of its own"
        )
    return number


def forward(text: SecretStr, info: ValidationInfo) -> SecretStr:
    targets = parse_targets(text.get_secret_value())
    refuse_own(targets, {"localhost", "127.0.0.1", "::1", info.data.get("host")}, info.data.get("port"))
    return text


def forward_secret(text: SecretStr) -> SecretStr:
    signing.keys(text.get_secret_value())
    return text


def command(text: str) -> str:
    try:
        text.encode()  # fails if the environment is not UTF-8
        if "\0" not in text and shlex.split(text):
            return text
    except ValueError:
        pass
    raise ValueError("is not a command line: write python my_agent.py, and close every quote")


def livekit_url(text: str) -> str:
    if not re.fullmatch(r"(wss?|https?)://[^/\s]+(/\S*)?", text):
        raise ValueError("is not a LiveKit server: write wss://your-project.livekit.cloud or ws://localhost:7880")
    return text


def keys_in(path: str) -> tuple[key_entries.KeyEntry, ...]:
    """The keys in a file."""
    try:
        with open(path, encoding="utf-8") as file:
            return key_entries.parse_file(file.read())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


def keys_file(path: str) -> str:
    keys_in(path)
    return path


def prices(path: str) -> str:
    Prices.of_file(path)
    return path


def recordings(text: str) -> str:
    if "://" in text or "\0" in text:
        raise ValueError("is not a folder: write var/recordings, or off")
    return text


def slow(text: Any) -> tuple[float, float]:
    """`1.5s,3s`: two durations in seconds, the shorter first; raises ValueError."""
    if isinstance(text, tuple):
        return text
    parts = [part.strip() for part in str(text).split(",")]
    if len(parts) != 2 or not 0 < (first := seconds(parts[0])) <= (second := seconds(parts[1])):
        raise ValueError("is not two durations, the shorter first: write 1.5s,3s")
    return first, second
