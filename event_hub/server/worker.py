"""gunicorn's gevent worker, with the drain of a hub at its end."""

from __future__ import annotations

import ctypes
import gc
import signal
import sys
from functools import partial
from types import FrameType
from typing import Any

from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

_PR_SET_PDEATHSIG = 1
_BEAT = 1.0
"""Seconds between two signs of life to the master."""


class HubWorker(GeventWorker):
    """Accepts connections until it is told to stop; then no new event and no new stream, and everybody is let go in
    order. gunicorn's own worker would wait for streams that never end, and look for the signal once a second."""

    def init_process(self) -> None:
        self._stop: Event = Event()
        if sys.platform == "linux":
            # Without a master nobody restarts us, and the next hub needs our port and our history.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        super().init_process()

    def run(self) -> None:
        application: Any = self.wsgi
        hub = application.hub()
        # What is loaded stays: never looked at again. And no collection every 700 new objects: a batch makes thousands.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        servers = []
        for listener in self.sockets:
            listener.setblocking(True)
            # A stream whose socket is taken over leaves the pool at once; one that goes through WSGI keeps its place.
            pool = Pool(hub.max_connections + hub.max_subscribers)
            server = StreamServer(listener, handle=partial(self.handle, listener), spawn=pool)
            server.start()
            servers.append(server)
        while self.alive:
            self.notify()
            self._stop.wait(_BEAT)
        for server in servers:
            server.close()
        hub.drain(hub.settings.drain)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.alive = False
        self._stop.set()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C, too, loses nothing."""
        self.handle_exit(sig, frame)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """What gunicorn's parser refuses is not worth a traceback."""
        super().handle_error(req, client, addr, exc)
