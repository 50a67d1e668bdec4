"""Calls from one process to another, through a list of each in Valkey: its inbox."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from ..errors import RequestError
from ..history import HistoryError
from ..history.valkey import ValkeyHistory
from ..history.valkey.errors import explain
from ..history.valkey.link import Link
from .scripts import script

logger = logging.getLogger(__name__)

_BLOCK = 1
"""Seconds after which a read of the inbox returns without a message."""
_KEPT = 60
"""Seconds that an inbox is kept after the last message: that of a process which was killed."""
_RETRY = 1.0

TIMEOUT = 5.0


class NoAnswer(Exception):
    """The other process has not answered in time, or has gone."""


class _Message(msgspec.Struct, omit_defaults=True):
    id: str
    sender: str = ""
    method: str = ""
    """Empty: it is an answer."""
    arguments: list[Any] = []
    result: Any = None
    error: dict[str, Any] | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode


class _Waiting:
    def __init__(self) -> None:
        self.answered = threading.Event()
        self.message: _Message | None = None


class Calls:
    """`call` another process by its name. `methods`: what others may call here. `start` it, `stop` it at the end."""

    def __init__(self, history: ValkeyHistory) -> None:
        self.methods: dict[str, Callable[..., Any]] = {}
        self._history = history
        self._name = history.name
        self._link = Link(history.address)
        self._waiting: dict[str, _Waiting] = {}
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name="hub-calls", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._link.close()
        if self._thread.is_alive():
            self._thread.join(5)

    def call(self, peer: str, method: str, *arguments: Any, timeout: float = TIMEOUT) -> Any:
        """What `method` of `peer` returns. Raises the `RequestError` that it raised, and `NoAnswer`."""
        return next(self.call_all([peer], method, *arguments, timeout=timeout))[1]

    def call_all(
        self, peers: Iterable[str], method: str, *arguments: Any, timeout: float = TIMEOUT, skip: bool = False
    ) -> Iterator[tuple[str, Any]]:
        """Call all of `peers` at once; yields name and result of each, with `skip` only of those that succeed."""
        until = time.monotonic() + timeout
        sent = []
        try:
            for peer in peers:
                id = secrets.token_hex(8)
                waiting = self._waiting[id] = _Waiting()
                sent.append((id, peer, waiting))
                self._post(peer, _Message(id, self._name, method, list(arguments)))
            for _, peer, waiting in sent:
                waiting.answered.wait(max(0.0, until - time.monotonic()))
                message = waiting.message
                if message is None or (message.error is not None and skip):
                    if skip:
                        continue
                    raise NoAnswer(f"the process {peer} does not answer")
                if message.error is not None:
                    error = message.error
                    raise RequestError(error["code"], error["detail"], **error["more"])
                yield peer, message.result
        except HistoryError as error:
            if not skip:
                raise NoAnswer(str(error)) from None
        finally:
            for id, _, _ in sent:
                self._waiting.pop(id, None)

    def tell(self, peer: str, method: str, *arguments: Any) -> None:
        """Call without waiting for the outcome."""
        with suppress(HistoryError):
            self._post(peer, _Message(secrets.token_hex(8), "", method, list(arguments)))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _post(self, peer: str, message: _Message) -> None:
        # In one step: a process that was killed in between would leave an inbox for ever.
        inbox = self._history.key(f"inbox:{peer}")
        self._history.call("EVAL", script("post"), 1, inbox, _encode(message), _KEPT)

    def _loop(self) -> None:
        inbox = self._history.key(f"inbox:{self._name}")
        while not self._stopped:
            try:
                found = self._link.call("BLPOP", inbox, _BLOCK)
            except Exception as error:
                if self._stopped:
                    return
                logger.debug("%s", explain(error, self._history.address))
                time.sleep(_RETRY)
                continue
            if found:
                self._take(found[1])

    def _take(self, data: bytes) -> None:
        try:
            message = _decode(data)
        except msgspec.MsgspecError:
            logger.warning("a message in the inbox is not one of a hub's; is another version running?")
            return
        if message.method:
            threading.Thread(target=self._serve, args=(message,), name="hub-call", daemon=True).start()
        elif (waiting := self._waiting.get(message.id)) is not None:
            waiting.message = message
            waiting.answered.set()

    def _serve(self, message: _Message) -> None:
        answer = _Message(message.id)
        try:
            answer.result = self.methods[message.method](*message.arguments)
        except RequestError as error:
            answer.error = {"code": error.kind.code, "detail": error.detail, "more": error.more}
        except Exception:
            logger.exception("the call of %s by another process has failed", message.method[:64])
            answer.error = {"code": "internal", "detail": "another process has failed; its log says why", "more": {}}
        if message.sender:
            with suppress(HistoryError):
                self._post(message.sender, answer)
