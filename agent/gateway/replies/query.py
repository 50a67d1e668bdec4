"""`POST /llm/query`: one reply without a WebSocket, for clients that cannot open one."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from event_hub.websocket_protocols.replies import Answer, Ask, Spoken

from ..frames import FrameError, decode
from .reply import Reply
from .state import conversations_of

if TYPE_CHECKING:
    from ..server import Gateway

PATH = "/llm/query"
_STATUS = {"too_many_pending": 429, "frame_too_large": 413, "reply_failed": 502, "not_configured": 503}
"""Error code → HTTP status; 422 for the others."""


async def query(request: web.Request, gateway: Gateway) -> web.StreamResponse:
    """Answer one request of a session, as the WebSocket does. The reply goes on if the client leaves."""
    try:
        body = await request.content.read(gateway.settings.max_frame + 1)
        while body and len(body) <= gateway.settings.max_frame and not request.content.at_eof():
            body += await request.content.read(gateway.settings.max_frame + 1)
        if len(body) > gateway.settings.max_frame:
            raise FrameError("frame_too_large", f"The body is too large: at most {gateway.settings.max_frame} bytes.")
        ask = decode(body.decode("utf-8", "replace"), Ask, "/ws/llm-stream")
        conversation = conversations_of(gateway).get(ask.session_id or f"http_{secrets.token_hex(6)}")
        conversation.connections += 1
        try:
            reply = conversation.ask(ask)
            await reply.done()
        finally:
            conversation.connections -= 1
    except FrameError as error:
        return _refused(error.code, error.sentence, 400 if error.code == "bad_json" else _STATUS.get(error.code, 422))
    if (failed := reply.error) is not None and reply.end is None:
        return _refused(failed.code, failed.message, _STATUS.get(failed.code, 502))
    return _answer(conversation.id, reply)


def _answer(session_id: str, reply: Reply) -> web.Response:
    audio, failed = reply.audio, reply.error
    spoken = None
    if audio is not None:
        spoken = Spoken(data=audio.data, voice_id=audio.voice_id, truncated=audio.truncated)
    answer = Answer(
        response=reply.text,
        session_id=session_id,
        request_id=reply.request_id,
        audio=spoken,
        audio_error=failed.message if failed is not None else None,
    )
    return web.Response(text=answer.to_json(), content_type="application/json")


def _refused(code: str, sentence: str, status: int) -> web.Response:
    body = {"error": sentence, "message": sentence, "code": code}
    headers = {"Retry-After": "2"} if status in (429, 503) else None
    return web.json_response(body, status=status, headers=headers)
