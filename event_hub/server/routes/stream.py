"""`GET /api/stream`: every event, live."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from flask import Response, request

from ... import sse
from ..errors import HubError
from ..generator import GeneratorSubscriber, visible_socket
from ..history import HistoryError
from ..hub import Hub
from ..queries import StreamQuery, parse
from ..replay import Replay, Wish

if TYPE_CHECKING:
    from ..sockets import Taken

logger = logging.getLogger(__name__)

PATH = "/api/stream"
HEADERS = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache"),
    ("X-Accel-Buffering", "no"),
)


def stream(hub: Hub, cors: Iterable[tuple[str, str]]) -> Response:
    """Open a stream for the request at hand; raises `HubError` where it cannot be opened."""
    if request.method == "HEAD":
        return Response(headers=list(HEADERS))
    query = parse(StreamQuery, request.args)
    last_id = request.headers.get("Last-Event-ID") or query.last_event_id
    wish = Wish(last_id, query.since, query.replay or 0).check()
    try:
        replay = hub.subscribe(query.filter(), wish)
        opening = replay.opening(random.random())
    except HistoryError as error:
        hub.history_failed(error)
        raise HubError("history_unavailable", str(error)) from error
    if hub.settings.takeover and "gunicorn.socket" in request.environ:
        from .. import sockets

        if sockets.can_take_over(request.environ):
            try:
                taken = sockets.Taken(request.environ)
            except OSError as error:
                reason = f"no file descriptor is left: {error.strerror}"
                raise HubError("too_many_subscribers", reason) from None
            _hand_over(hub, replay, taken, sockets.head([*HEADERS, *cors]) + sse.chunk(opening))
            return _TakenOver()
    return Response(_generate(hub, replay, opening, request.environ), headers=list(HEADERS), direct_passthrough=True)


def _hand_over(hub: Hub, replay: Replay, taken: Taken, first: bytes) -> None:
    """The head, the replay, then the subscriber is on its own. What fails here can only be told by hanging up."""
    from ..sockets import SocketSubscriber

    subscriber = SocketSubscriber(hub.next_id(), time.time(), taken, hub.broadcast)
    hub.opening += 1
    try:
        stall = hub.settings.stall
        taken.send_all(first, stall)
        if not replay.attach_now(subscriber):
            for chunk in replay.pages(subscriber):
                taken.send_all(sse.chunk(chunk), stall)
        subscriber.release()
    except TimeoutError:
        hub.figures.dropped["stalled"] += 1
        subscriber.drop()
    except OSError:
        subscriber.leave()  # before its replay was over
    except HistoryError as error:
        hub.history_failed(error)
        subscriber.drop()
    except Exception:
        logger.exception("a replay has failed")
        subscriber.drop()
    finally:
        hub.opening -= 1


def _generate(hub: Hub, replay: Replay, opening: bytes, environ: dict[str, Any]) -> Iterator[bytes]:
    hub.opening += 1
    try:
        yield opening
        subscriber = GeneratorSubscriber(hub.next_id(), time.time(), visible_socket(environ), hub.broadcast)
        yield from replay.pages(subscriber)
    finally:
        hub.opening -= 1
    yield from subscriber.frames()


class _TakenOver(Response):
    """The response is written already: gunicorn takes a StopIteration for "do nothing more with this connection"."""

    def __call__(self, environ: Any, start_response: Any) -> NoReturn:
        raise StopIteration
