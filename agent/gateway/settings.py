"""The gateway's settings: from the command line, the environment or the default, in this order. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..failure import Failure

PREFIX = "GATEWAY_"
_UPLOADS = Path("uploads")


def _setting(default: Any, about: str) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Sizes in bytes, times in seconds. Every field is an environment variable: `max_frame` is GATEWAY_MAX_FRAME."""

    host: str = _setting(
        "localhost", "address to listen on; `localhost` is 127.0.0.1 and ::1; others need GATEWAY_TOKEN"
    )
    port: int = _setting(8765, "port to listen on")
    llm_port: int = _setting(
        0, "a second port, on which `/` is the LLM protocol, for clients that know no path; 0: none"
    )
    token: str = _setting("", "secret that clients must send; never shown")
    origins: tuple[str, ...] = _setting(
        (),
        "origins, separated by commas, whose pages may connect, besides pages of this machine and pages from a file",
    )
    room: str = _setting("gateway", "the room in the events that the hub gets")
    uploads: Path = _setting(_UPLOADS, "folder for recordings")  # noqa: RUF009  a path is immutable
    uploads_size: int = _setting(1 << 30, "maximum size of that folder")
    recording_size: int = _setting(256 << 20, "maximum size of one recording, as it is received")
    max_frame: int = _setting(256 << 10, "maximum size of a frame; 16 times as much closes the connection")
    rate: float = _setting(200.0, "frames per second that are read of one client; twice as many at once")
    idle: float = _setting(600.0, "time without a frame after which a connection is closed; pings count as frames")
    stall: float = _setting(30.0, "time after which a client that takes nothing is disconnected")
    heartbeat: float = _setting(20.0, "silence after which a client is pinged; after twice as long it counts as gone")
    connections: int = _setting(500, "maximum number of open WebSockets")
    drain: float = _setting(5.0, "time for replies in progress when the gateway stops")

    @classmethod
    def of(cls, environ: Mapping[str, str], **given: Any) -> GatewaySettings:
        """`given` wins where it is not None. Raises Failure that names every wrong setting."""
        values: dict[str, Any] = {}
        wrong: list[str] = []
        defaults = cls()
        for setting in fields(cls):
            name = setting.name
            text = environ.get(PREFIX + name.upper(), "").strip()
            if text and given.get(name) is None:
                try:
                    values[name] = _READ.get(name, _reader(getattr(defaults, name)))(text)
                except ValueError as error:
                    wrong.append(f"{PREFIX}{name.upper()}={'…' if name == 'token' else text[:60]}: {error}")
        if wrong:
            raise Failure("; ".join(wrong))
        values.update({name: value for name, value in given.items() if value is not None})
        made = replace(defaults, **values)
        made._check()
        return made

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """Name, default and meaning of every setting, for the docs."""
        rows = []
        for setting in fields(cls):
            default = _SHOWN.get(setting.name) or str(setting.default or "")
            rows.append((PREFIX + setting.name.upper(), default, setting.metadata["about"]))
        return rows

    def _check(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise Failure(
                f"GATEWAY_HOST={self.host} can be reached from other machines: set GATEWAY_TOKEN to a secret that "
                "clients must send, or bind to localhost."
            )
        for name, port in (("GATEWAY_PORT", self.port), ("GATEWAY_LLM_PORT", self.llm_port)):
            if not 0 <= port < 65536:
                raise Failure(f"{name}={port} is not a port: write a number below 65536.")

    @property
    def address(self) -> str:
        """The gateway's HTTP address, as a browser on this machine would write it."""
        return f"http://{_shown(self.host)}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a name or an address stands for this machine alone."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "kb": 1000, "mib": 1 << 20, "mb": 10**6, "gib": 1 << 30, "gb": 10**9}
_TIMES = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)


def _quantity(text: str, units: Mapping[str, float], example: str) -> float:
    match = _QUANTITY.fullmatch(text)
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None or float(match[1]) * unit <= 0:
        raise ValueError(f"write a quantity such as {example}")
    return float(match[1]) * unit


def _size(text: str) -> int:
    return int(_quantity(text, _UNITS, "256KiB or 1GiB"))


def _seconds(text: str) -> float:
    return _quantity(text, _TIMES, "30s or 10m")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("write a whole number")
    return int(text)


def _token(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a token is a single word of ASCII characters")
    return text


def _origins(text: str) -> tuple[str, ...]:
    found = tuple(filter(None, (part.strip().rstrip("/") for part in text.split(","))))
    for origin in found:
        parts = urlsplit(origin)
        if origin != "*" and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path):
            raise ValueError("write origins such as https://app.example.org, separated by commas")
    return found


_SHOWN = {
    "origins": "",
    "uploads_size": "1GiB",
    "recording_size": "256MiB",
    "max_frame": "256KiB",
    "rate": "200",
    "idle": "10m",
    "stall": "30s",
    "heartbeat": "20s",
    "drain": "5s",
}
"""Defaults as they are written in the environment."""
_READ: dict[str, Any] = {
    "token": _token,
    "origins": _origins,
    "uploads_size": _size,
    "recording_size": _size,
    "max_frame": _size,
    "idle": _seconds,
    "stall": _seconds,
    "heartbeat": _seconds,
    "drain": _seconds,
}


def _reader(default: object) -> Any:
    """How a setting is read if `_READ` has nothing special for it."""
    if isinstance(default, Path):
        return Path
    if isinstance(default, int):
        return _count
    if isinstance(default, float):
        return lambda text: _quantity(text, {"": 1.0}, "200")
    return str
