"""How many files this process may have open."""

from __future__ import annotations

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_WITHOUT_LIMIT = 8192
"""Sockets of one process on Windows, where no limit can be asked for."""
_UNLIMITED = 1 << 20


def raise_descriptor_limit() -> None:
    """As many as we are allowed: the soft limit (1024 as a rule) up to the hard one."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _UNLIMITED if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS says "unlimited" and means 10240
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(10240, wanted), hard))


def descriptor_limit() -> int:
    """The soft limit in force."""
    if resource is None:
        return _WITHOUT_LIMIT
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else min(soft, _UNLIMITED)
