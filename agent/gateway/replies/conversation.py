"""Conversations by session id: what was said, and the replies that are in progress or may be asked for again."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable

from event_hub.websocket_protocols.replies import Ask, State, Turn

from ..frames import FrameError
from ..reporting import ReportedSession
from .reply import Reply

CONVERSATIONS = 1000
"""Kept at once; the one that was used longest ago is forgotten first."""
FORGET = 3600.0
"""Seconds without use after which a conversation is forgotten."""
END = 60.0
"""Seconds without a connection after which the hub shows the session as ended."""
MESSAGES, CHARACTERS = 100, 64_000
"""The context that is kept: the newest messages, together at most so long."""
LONGEST = 16_000
"""Characters of one request."""
PENDING = 8
"""Requests of one session that wait while another one is answered."""
KEPT = 32
"""Replies that can be asked for again by their request id; only the newest keeps its speech."""

Answerer = Callable[["Conversation", Reply], Awaitable[None]]


class Conversation:
    """One session. Its requests are answered one after another by `answer`."""

    def __init__(self, id: str, answer: Answerer, report: ReportedSession, now: float) -> None:
        self.id, self.report = id, report
        self.used = now
        self.connections = 0
        """Sockets and HTTP requests that use it now."""
        self.messages: deque[Turn] = deque()
        self._answer = answer
        self._replies: dict[str, Reply] = {}
        self._waiting: deque[Reply] = deque()
        self._task: asyncio.Task[None] | None = None
        self._current: Reply | None = None

    def ask(self, ask: Ask) -> Reply:
        """The reply to a request; that of the first time if its request id is known. Raises FrameError."""
        if not ask.text.strip():
            raise FrameError("empty_message", "text: is empty; say or write something.")
        if len(ask.text) > LONGEST:
            raise FrameError("message_too_long", f"text: has more than {LONGEST} characters; shorten it.")
        known = self._replies.get(ask.request_id or "")
        if known is not None and not known.failed:
            return known
        if len(self._waiting) >= PENDING:
            raise FrameError(
                "too_many_pending",
                f"{PENDING} requests of this session wait for their replies already: send this one again later.",
            )
        if not self.messages and ask.chat_history:
            self.messages.extend(ask.chat_history)
            self._shorten()
        reply = Reply(ask, ask.request_id or f"rq_{secrets.token_hex(6)}")
        self._replies.pop(reply.request_id, None)
        self._replies[reply.request_id] = reply
        self._forget_replies()
        self._waiting.append(reply)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name=f"replies of {self.id}")
        return reply

    def find(self, request_id: str) -> Reply | None:
        """The reply to a request that is known."""
        return self._replies.get(request_id)

    def remember(self, role: str, content: str) -> None:
        """Add a message to the context."""
        self.messages.append(Turn.model_validate({"role": role, "content": content}))
        self._shorten()

    def state(self) -> State:
        """What a client needs after a reconnect."""
        replying = self._current.request_id if self._current else None
        return State(session_id=self.id, history=tuple(self.messages), replying=replying)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered or waits."""
        return self._current is not None or bool(self._waiting)

    async def close(self, reason: str) -> None:
        """End everything."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for reply in self._replies.values():
            reply.finish()
        self.report.ended(reason)

    async def _work(self) -> None:
        while self._waiting:
            self._current = reply = self._waiting.popleft()
            try:
                await self._answer(self, reply)
            finally:
                self._current = None
                reply.finish()

    def _shorten(self) -> None:
        total = sum(len(message.content) for message in self.messages)
        while len(self.messages) > MESSAGES or (total > CHARACTERS and len(self.messages) > 1):
            total -= len(self.messages.popleft().content)

    def _forget_replies(self) -> None:
        over = [reply for reply in self._replies.values() if reply.over]
        for reply in over:
            reply.drop_audio()  # a newer one begins
        for reply in over[: max(0, len(self._replies) - KEPT)]:
            del self._replies[reply.request_id]


class Conversations:
    """All conversations of a gateway. `clock`: seconds, monotonic. `report`: session id → how the hub shows it."""

    def __init__(self, answer: Answerer, report: Callable[[str], ReportedSession], clock: Callable[[], float]) -> None:
        self._answer, self._report, self._clock = answer, report, clock
        self._known: dict[str, Conversation] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, id: str) -> Conversation:
        """The conversation, which begins if it is not known."""
        conversation = self._known.pop(id, None)
        if conversation is None:
            if len(self._known) >= 2 * CONVERSATIONS:
                raise FrameError("too_many_sessions", "The gateway has too many sessions: try again in a minute.")
            conversation = Conversation(id, self._answer, self._report(id), self._clock())
        conversation.used = self._clock()
        self._known[id] = conversation  # the newest is last
        return conversation

    def state(self, id: str) -> State:
        """Its state, without beginning a conversation that is not known."""
        known = self._known.get(id)
        return known.state() if known else State(session_id=id, history=(), replying=None)

    async def forget(self) -> None:
        """Forget what has not been used for long, or is too much; end, for the hub, sessions without a connection."""
        now = self._clock()
        surplus = len(self._known) - CONVERSATIONS
        for conversation in list(self._known.values()):
            if conversation.connections or conversation.busy:
                conversation.used = now
                continue
            if now - conversation.used > FORGET or surplus > 0:
                surplus -= 1
                del self._known[conversation.id]
                await conversation.close("forgotten")
            elif now - conversation.used > END:
                conversation.report.ended("the client has left")

    async def close(self) -> None:
        """End all: the gateway stops."""
        for conversation in self._known.values():
            await conversation.close("the gateway stopped")
        self._known.clear()
