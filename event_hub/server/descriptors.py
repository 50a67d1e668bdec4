"""The limit of open files of this process."""

from __future__ import annotations

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_WITHOUT_LIMIT = 8192
"""Sockets per process on Windows, which has no limit to query."""
_UNLIMITED = 1 << 20


def raise_descriptor_limit() -> None:
    """Raise the soft limit, usually 1024, to the hard limit."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _UNLIMITED if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS reports "unlimited" but allows 10240
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(10240, wanted), hard))


def descriptor_limit() -> int:
    """The current soft limit."""
    if resource is None:
        return _WITHOUT_LIMIT
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else min(soft, _UNLIMITED)
