"""What is looked at before the hub starts, so that what is wrong is said in one sentence and not in a traceback."""

from __future__ import annotations

import errno
import os
import socket
import time
from pathlib import Path

from .. import __version__
from .history import HistoryError, open_history
from .limits import descriptor_limit
from .settings import RESERVED_FDS, Settings, SettingsError

_BUSY_WAIT = 3.0
"""Seconds that a port may stay busy: a hub that was just killed may still hold it."""


class Refused(Exception):
    """The hub does not start; `code` is the exit code: 2 for settings, 1 for the rest."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def settings() -> Settings:
    """The settings of this process; raises `Refused` with every wrong one named."""
    try:
        result = Settings.load()
    except SettingsError as error:
        raise Refused(f"The hub does not start: these settings are wrong.\n{error}", 2) from None
    return result


def addresses(settings: Settings) -> list[str]:
    """Where to listen, without ::1 on a machine that has no IPv6."""
    found = []
    for address in settings.addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if len(settings.addresses) > 1 and family == socket.AF_INET6:
            try:
                with socket.socket(family, socket.SOCK_STREAM) as probe:
                    probe.bind((address, 0))
            except OSError:
                continue
        found.append(address)
    return found


def check(settings: Settings) -> None:
    """Raise `Refused` where the port is busy, the history cannot be opened, or too few files may be open."""
    for sentence in Settings.unknown():
        say(f"warning: {sentence}")
    for address in addresses(settings):
        _check_port(address, settings.port)
    try:
        open_history(settings.history, settings.kept).close()
    except HistoryError as error:
        raise Refused(f"The hub does not start: {error}", 1) from None
    if settings.targets:
        _check_folder(Path(settings.forward_state))
    limit = descriptor_limit()
    if settings.max_subscribers and settings.max_subscribers + RESERVED_FDS > limit:
        raise Refused(
            f"The hub does not start: HUB_MAX_SUBSCRIBERS={settings.max_subscribers} does not fit the {limit} files that "
            f"this process may have open: allow more (ulimit -n {settings.max_subscribers * 5 // 4 + RESERVED_FDS}), "
            "or lower it",
            2,
        )


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        reason = f"{folder} cannot be written ({error.strerror}); see HUB_FORWARD_STATE"
        raise Refused(f"The hub does not start: {reason}", 1) from None


def _check_port(address: str, port: int) -> None:
    if port == 0:
        return
    until = time.monotonic() + _BUSY_WAIT
    while True:
        try:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
                if os.name != "nt":
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
                return
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < until:
                time.sleep(0.1)
            elif error.errno == errno.EADDRINUSE:
                other = "another program listens there"
                raise Refused(
                    f"Port {port} on {address} is busy: {other}. Choose another one: PORT={port + 1}", 1
                ) from None
            else:
                reason = f"The hub cannot listen on {address}, port {port}: {error.strerror}; see HUB_HOST and PORT"
                raise Refused(reason, 1) from None


def say(text: str) -> None:
    """To who started the hub; that nobody reads it any more (a closed pipe) does not matter."""
    try:
        print(text, flush=True)
    except OSError:
        pass


def banner(settings: Settings) -> str:
    """What the hub says when it is up."""
    kept = settings.history.removeprefix("sqlite:///") if settings.history != "memory:" else "memory only"
    return "\n".join(
        [
            f"LiveKit Event Hub {__version__}",
            f"  page     {settings.url}/",
            f"  stream   curl -N {settings.url}/api/stream",
            f"  publish  curl {settings.url}/api/agent/data -H 'Content-Type: application/json' -d '{{\"type\":\"test\"}}'",
            f"  agent    curl -X POST {settings.url}/api/agent/start",
            f"  docs     {settings.url}/docs",
            f"  history  {kept}",
            *(f"  forward  {target.shown}" for target in settings.targets),
            "  Ctrl-C stops it; nothing is lost.",
        ]
    )
