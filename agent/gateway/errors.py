"""The catalogue of errors that a client of the gateway can get. Pure; the table in docs/gateway.md is generated from it."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Kind(NamedTuple):
    """When the error is sent, and what becomes of the connection."""

    when: str
    connection: Literal["stays open", "is closed", "is refused"] = "stays open"


ERRORS: dict[str, Kind] = {
    # any endpoint
    "bad_json": Kind("the frame is not JSON, or not an object"),
    "bad_frame": Kind("a field is missing or has the wrong type; the sentence names it"),
    "wrong_endpoint": Kind("the frame belongs to another endpoint's protocol; the sentence names its path"),
    "unexpected_binary": Kind("a binary frame on an endpoint that takes text"),
    "frame_too_large": Kind("the frame is larger than GATEWAY_MAX_FRAME; it was ignored"),
    "too_fast": Kind("frames arrive faster than GATEWAY_RATE: they are read more slowly, and none is lost"),
    "idle": Kind("nothing was received for GATEWAY_IDLE", "is closed"),
    "unauthorized": Kind("the gateway needs a token, and the client sent none or a wrong one", "is closed"),
    "forbidden_origin": Kind("a web page of an origin that is not in GATEWAY_ORIGINS", "is closed"),
    "too_many_connections": Kind("GATEWAY_CONNECTIONS are open: HTTP 503 with Retry-After", "is refused"),
    "no_such_endpoint": Kind("no endpoint at this path; the sentence lists the endpoints", "is closed"),
    "not_configured": Kind("a provider's key or package is missing; the sentence names it"),
    # the text chat
    "empty_message": Kind("`message` or `text` is empty or blank"),
    "message_too_long": Kind("`message` has more than 32,000 characters, or `text` more than 16,000"),
    "too_many_pending": Kind("8 messages are already waiting for an answer; this one was refused"),
    "reply_failed": Kind("the LLM failed; the sentence says why. In the chat, the turn's `result` follows"),
    # streamed replies
    "too_many_sessions": Kind("one connection has used 16 sessions, or the gateway has 2,000"),
    "no_such_request": Kind("`cancel` names a request that no session of this connection has"),
    "bad_voice": Kind("the TTS has no such voice; the text is complete"),
    "speech_failed": Kind("the TTS failed; the text is complete"),
    # /llm
    "backend_busy": Kind("the model's provider has too many requests (HTTP 429)"),
    "backend_failed": Kind("the model's provider failed or cannot be reached"),
    "backend_refused": Kind("the model's provider refuses the request or the key"),
    "backend_timeout": Kind("the model's provider does not respond"),
    "duplicate_request_id": Kind("a request with this id is being answered"),
    "too_many_requests": Kind("too many requests of this connection are open"),
    # recording
    "not_recording": Kind("audio or STOP_RECORDING without START_RECORDING; for audio it is sent once"),
    "already_recording": Kind("START_RECORDING during a recording, which goes on"),
    "recording_too_large": Kind("the recording has reached GATEWAY_RECORDING_SIZE; it is saved"),
    "uploads_full": Kind("the recordings have reached GATEWAY_UPLOADS_SIZE; the one in progress is saved"),
    "disk_full": Kind("the gateway's disk is full; what was written of the recording is saved"),
    "uploads_unwritable": Kind("the folder GATEWAY_UPLOADS cannot be written; the sentence says why"),
    "no_such_recording": Kind("HTTP 404 of GET /uploads/…", "is refused"),
    # transcription
    "bad_audio": Kind("a binary frame that is not 16-bit PCM: an odd length, or a container; it was ignored"),
    "audio_lost": Kind("the STT was away for longer than audio is buffered; the sentence says how much is lost"),
    "stt_failed": Kind(
        "the STT refuses the gateway, or could not be reached to finish what was sent; the sentence says which"
    ),
    "stt_busy": Kind("all local decoders are in use: try again later", "is closed"),
    # faults
    "internal": Kind("a fault in the gateway; its log has the details", "is closed"),
}
