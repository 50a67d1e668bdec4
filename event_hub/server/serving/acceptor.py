"""Accepts connections, and waits without a word for each attempt while descriptors are exhausted."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import Any

from gevent.server import StreamServer

logger = logging.getLogger(__name__)

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of `accept` that end when others close something."""
_PAUSE = 0.1
"""Seconds until the next attempt; meanwhile, connections wait in the listener's backlog."""
_QUIET = 60.0
"""Seconds between two lines in the log."""


class Acceptor(StreamServer):
    """Accepts connections without making a gevent socket first: `connection` takes the listener's family and protocol,
    and the descriptor."""

    def __init__(self, listener: Any, connection: Callable[[int, int, int], object], **options: Any) -> None:
        super().__init__(listener, **options)
        self._connection = connection
        self._logged = float("-inf")

    def do_read(self) -> Any:
        listener: Any = self.socket
        try:
            descriptor, address = listener._accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._wait(error)
            return None
        return self._connection(listener.family, listener.proto, descriptor), address

    def _wait(self, error: OSError) -> None:
        """Stop accepting for a moment: the listener stays readable, so the loop would try again without a pause."""
        if time.monotonic() - self._logged > _QUIET:
            self._logged = time.monotonic()
            logger.warning("new connections have to wait: %s (raise `ulimit -n`)", error.strerror)
        self.stop_accepting()
        self._timer: Any = self.loop.timer(_PAUSE)  # gevent's own: `stop_accepting` and `close` stop it
        self._timer.start(self._again)

    def _again(self) -> None:
        if self.started:
            self.start_accepting()
