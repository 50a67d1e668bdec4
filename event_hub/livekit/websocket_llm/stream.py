"""One request to an LLM server, as LiveKit's stream of chunks."""

from __future__ import annotations

from typing import Any

from livekit.agents import APIConnectOptions, APIError, APITimeoutError, llm
from livekit.agents.utils import shortuuid

from ...websocket_protocols.llm import ChatRequest, Complete, Delta, LLMError, ToolCall, Usage
from .errors import SocketClosed, of_close, of_frame
from .pool import Pool


class WebSocketLLMStream(llm.LLMStream):
    """Emits a ChatChunk for each delta and each tool call, in order, and at last the usage.

    LiveKit calls `_run` again after an APIError that is retryable, unless text or a tool call has been emitted.
    """

    def __init__(
        self,
        model: llm.LLM[Any],
        *,
        pool: Pool,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
        connect_timeout: float,
        response_timeout: float,
        options: dict[str, Any],
    ) -> None:
        super().__init__(model, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._retry_on_chunk_sent = False  # what has been spoken would be repeated
        self._pool, self._options = pool, options
        self._connect_timeout, self._response_timeout = connect_timeout, response_timeout

    async def _run(self) -> None:
        pool, silence, fresh = self._pool, self._response_timeout, False
        request = self._request()
        while True:
            socket = await pool.get(self._connect_timeout, fresh=fresh)
            answer = _Answer(self, request.request_id or "")
            try:
                await socket.ask(request)
                while not answer.complete:
                    answer.add(await socket.receive(silence))
            except SocketClosed as closed:
                pool.discard(socket)
                if socket.reused and not answer.started:
                    fresh = True  # the server closed it while it was idle, or was restarted: try a new socket, once
                    continue
                raise of_close(closed, pool.server) from closed
            except TimeoutError:
                pool.discard(socket)
                raise APITimeoutError(
                    f"The LLM server at {pool.server} sent nothing for {silence:g} s", retryable=True
                ) from None
            except APIError:  # the server's own error: the socket stays usable
                pool.put(socket)
                raise
            except BaseException:  # the session was interrupted, or a bug
                pool.cancel(socket)
                raise
            pool.put(socket)
            return

    def _request(self) -> ChatRequest:
        messages, _ = self._chat_ctx.to_provider_format("openai")
        tools = llm.ToolContext(self._tools).parse_function_tools("openai", strict=False)
        # Built without validation: LiveKit's own messages need none, and the server checks them.
        return ChatRequest.model_construct(
            type="chat",
            messages=messages,
            request_id=shortuuid("llm_"),
            report=False,  # the session's own events are reported by attach()
            **({"tools": tools, **self._options} if tools else {}),
        )

    def emit(self, request_id: str, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=request_id, delta=delta))

    def emit_usage(self, request_id: str, usage: Usage) -> None:
        counts = llm.CompletionUsage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens or usage.prompt_tokens + usage.completion_tokens,
            prompt_cached_tokens=usage.prompt_cached_tokens,
        )
        self._event_ch.send_nowait(llm.ChatChunk(id=request_id, usage=counts))


class _Answer:
    """What has been received of an answer."""

    def __init__(self, stream: WebSocketLLMStream, request_id: str) -> None:
        self._stream, self._id = stream, request_id
        self.started = False
        self.complete = False

    def add(self, frame: object) -> None:
        """Emit what the frame brings. Raises APIError for an `error`."""
        if isinstance(frame, LLMError):
            raise of_frame(frame)
        if isinstance(frame, Delta):
            self._emit(content=frame.content)
        elif isinstance(frame, ToolCall):
            call = llm.FunctionToolCall(name=frame.name, arguments=frame.arguments, call_id=frame.id)
            self._emit(tool_calls=[call])
        elif isinstance(frame, Complete):
            if not self.started and frame.content:  # a server that does not stream
                self._emit(content=frame.content)
            if frame.usage is not None:
                self._stream.emit_usage(self._id, frame.usage)
            self.complete = True

    def _emit(self, **delta: Any) -> None:
        self.started = True
        self._stream.emit(self._id, llm.ChoiceDelta(role="assistant", **delta))
