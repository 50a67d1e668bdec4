"""Checks before the hub starts, so that a problem is reported as one sentence and not as a traceback."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ..access import livekit_secrets
from ..access.access import warnings as weak_keys
from ..access.addresses import is_loopback
from ..access.key_entries import needs_access
from ..descriptors import descriptor_limit
from ..history import SHARED, HistoryError, open_history
from ..settings import LOOPBACK, RESERVED_FDS, Settings, SettingsError

if TYPE_CHECKING:
    from .own_valkey import OwnValkey

_BUSY_WAIT = 3.0
"""Seconds to wait for a busy port: a hub that was just killed may still hold it."""


class StartRefused(Exception):
    """The hub does not start. `code` is the exit code: 2 for settings, otherwise 1."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def settings() -> Settings:
    """The settings of this process; raises `StartRefused`, which lists all wrong settings."""
    try:
        result = Settings.load()
    except SettingsError as error:
        raise StartRefused(f"The hub does not start: these settings are wrong.\n{error}", 2) from None
    return result


def addresses(settings: Settings) -> list[str]:
    """The addresses to listen on, without ::1 if the machine has no IPv6."""
    usable = []
    for address in settings.addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if len(settings.addresses) > 1 and family == socket.AF_INET6:
            try:
                with socket.socket(family, socket.SOCK_STREAM) as probe:
                    probe.bind((address, 0))
            except OSError:
                continue
        usable.append(address)
    return usable


def check(settings: Settings) -> None:
    """Raise `StartRefused` if the port is busy, the history cannot be opened, or the limit of open files is too low."""
    for warning in Settings.unknown():
        say(f"warning: {warning}")
    for warning in (*weak_keys(settings.keys()), *_short_livekit_secret(settings)):
        say(f"warning: {warning}")
    for address in addresses(settings):
        _check_port(address, settings.port)
    try:
        history = open_history(settings.history, settings.effective_retention)
        history.close()
    except HistoryError as error:
        raise StartRefused(f"The hub does not start: {error}", 1) from None
    if history.degraded:
        say(f"warning: {history.degraded}; until then events can be read but not published")
    if settings.targets:
        _check_folder(Path(settings.forward_state))
    limit = descriptor_limit()
    if settings.max_subscribers and settings.max_subscribers + RESERVED_FDS > limit:
        raise StartRefused(
            f"The hub does not start: HUB_MAX_SUBSCRIBERS={settings.max_subscribers} is too high for a limit of {limit} "
            f"open files: raise the limit (ulimit -n {settings.max_subscribers * 5 // 4 + RESERVED_FDS}), "
            "or lower the setting",
            2,
        )


def start_own_valkey(settings: Settings) -> OwnValkey | None:
    """Start the server that the history needs, if the hub is to start one; raises `StartRefused`."""
    if not settings.history.startswith("valkey://"):
        return None
    from ..history.valkey.address import ServerAddress
    from .own_valkey import OwnValkey

    server = OwnValkey(ServerAddress(settings.history))
    try:
        server.start()
    except HistoryError as error:
        raise StartRefused(f"The hub does not start: {error}", 1) from None
    return server


def check_bound(settings: Settings, listening: Iterable[Any]) -> None:
    """Raise `StartRefused` if a hub that is open by default, or whose LiveKit secret is public, listens beyond loopback: the
    command line of gunicorn overrides HUB_HOST. `listening`: what `getsockname` returns for each socket."""
    beyond = [name for name in listening if isinstance(name, tuple) and not is_loopback(name[0])]
    if not beyond:
        return
    if settings.for_this_machine:
        host, port = beyond[0][:2]
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise StartRefused(f"The hub does not start: {needs_access(f'--bind {where}', 'bind to 127.0.0.1')}", 2)
    if settings.public_livekit_secret:
        raise StartRefused(f"The hub does not start: LIVEKIT_API_SECRET: {livekit_secrets.REFUSED}", 2)


def _short_livekit_secret(settings: Settings) -> Iterator[str]:
    """A warning if the secret that signs LiveKit's tokens can be guessed from elsewhere."""
    secret, elsewhere = settings.livekit_secret, settings.host not in LOOPBACK and settings.access_required
    if elsewhere and settings.livekit_key and secret and len(secret.get_secret_value()) < livekit_secrets.SHORT:
        yield livekit_secrets.WEAK


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        reason = f"{folder} cannot be written ({error.strerror}); see HUB_FORWARD_STATE"
        raise StartRefused(f"The hub does not start: {reason}", 1) from None


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
                other = "another program is listening there"
                raise StartRefused(
                    f"Port {port} on {address} is busy: {other}. Choose another port: PORT={port + 1}", 1
                ) from None
            else:
                reason = f"The hub cannot listen on {address}, port {port}: {error.strerror}; see HUB_HOST and PORT"
                raise StartRefused(reason, 1) from None


def say(text: str) -> None:
    """Print `text` to the terminal; a closed pipe does not matter."""
    try:
        print(text, flush=True)
    except OSError:
        pass


def shown_history(url: str) -> str:
    """Where a history is, without a password."""
    if not url.startswith(SHARED):
        return url.removeprefix("sqlite:///")
    from ..history.valkey.address import ServerAddress

    return ServerAddress(url).shown


def _access(settings: Settings) -> str:
    if not settings.access_required:
        who = "this machine's programs" if settings.host in LOOPBACK else "everyone who can reach this port"
        return f"open to {who} (docs/access.md)"
    keys = len(settings.keys())
    livekit = ", and LiveKit's tokens" if settings.livekit_key and settings.livekit_secret else ""
    return f"{keys} key{'' if keys == 1 else 's'}{livekit} (curl -H 'Authorization: Bearer KEY')"


def banner(settings: Settings) -> str:
    """The text that the hub prints once it is up."""
    history = "memory only" if settings.history == "memory:" else shown_history(settings.history)
    return "\n".join(
        [
            f"LiveKit Event Hub {__version__}",
            f"  page     {settings.url}/",
            f"  stream   curl -N {settings.url}/api/stream",
            f"  publish  curl {settings.url}/api/agent/data -H 'Content-Type: application/json' -d '{{\"type\":\"test\"}}'",
            f"  agent    curl -X POST {settings.url}/api/agent/start",
            f"  docs     {settings.url}/docs",
            f"  history  {history}",
            f"  access   {_access(settings)}",
            *(f"  forward  {target.shown}" for target in settings.targets),
            "  Press Ctrl-C to stop; no events are lost.",
        ]
    )
