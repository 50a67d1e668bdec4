"""A stand-in for Google's Gemini API: its real protocol, with answers by rule.

Protocol: https://ai.google.dev/api/generate-content (`streamGenerateContent?alt=sse`), function calls:
https://ai.google.dev/gemini-api/docs/function-calling, thought signatures, which a client has to send back:
https://ai.google.dev/gemini-api/docs/thought-signatures, retired models: https://ai.google.dev/gemini-api/docs/deprecations.
A wrong key is answered with 400, as there.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from ..livekit.openai_standin import answer
from .server import Standin, cut, decoded, require

MODELS = ("gemini-3.8-flash", "gemini-3.5-flash", "gemini-2.5-flash")
STATUSES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
}  # fmt: skip
PART_FIELDS = {"text", "functionCall", "functionResponse", "thoughtSignature", "thought", "inlineData"}
BEFORE_CUT = 3
"""Events before the connection is cut."""


class GeminiStandin(Standin):
    """Answers like the OpenAI stand-in: it knows a weather report, a long story and a greeting."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/{version:v1(beta)?}/models", self._models),
            web.post("/{version:v1(beta)?}/models/{model}:streamGenerateContent", self._stream),
        ]

    async def _models(self, request: web.Request) -> web.Response:
        if request.headers.get("x-goog-api-key") != self.key:
            return _wrong_key()
        return web.json_response({"models": [{"name": f"models/{name}", "displayName": name} for name in MODELS]})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        trouble = self.take_trouble()
        body = decoded(await request.text())
        self.note(request, body)
        model = request.match_info["model"]
        if request.headers.get("x-goog-api-key") != self.key:
            return _wrong_key()
        if trouble.status:
            return _error(trouble.status, "The stand-in was set to fail.")
        if model not in MODELS:
            message = f"models/{model} is not found for this API version, or is not supported for generateContent."
            return _error(404, message)
        require(request.query.get("alt") == "sse", "alt is not sse")
        messages, tools = _conversation(body, signed=model.startswith("gemini-3"))
        events = list(_events(messages, tools, model))
        if trouble.stall:
            await self.stalled()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, event in enumerate(events):
            if trouble.cut and number == BEFORE_CUT:
                cut(request)
                return response
            await response.write(b"data: " + json.dumps(event).encode() + b"\r\n\r\n")
        await response.write_eof()
        return response


def _conversation(body: dict[str, Any], *, signed: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The messages and tools of a request in OpenAI's form; raises Violation for a request that Gemini refuses."""
    contents = body.get("contents")
    require(isinstance(contents, list) and contents, "no contents")
    messages: list[dict[str, Any]] = []
    open_calls: list[str] = []
    for content in contents or []:
        role, parts = content.get("role"), content.get("parts")
        require(role in ("user", "model"), f"role is {role}")
        require(isinstance(parts, list) and parts, "a content without parts")
        first_call = True
        for part in parts:
            require(not set(part) - PART_FIELDS, f"a part has {set(part)}")
            if call := part.get("functionCall"):
                require(role == "model", "a function call of the user")
                if signed and first_call:
                    require(part.get("thoughtSignature"), "Function call is missing a thought_signature")
                first_call = False
                open_calls.append(call["name"])
            elif result := part.get("functionResponse"):
                require(role == "user", "a function response of the model")
                require(result.get("name") in open_calls, f"a response to {result.get('name')}, which was not called")
                open_calls.remove(result["name"])
                response = result.get("response")
                require(isinstance(response, dict), "a function response that is not an object")
                text = next(iter(response.values()), "") if response else ""
                messages.append({"role": "tool", "content": str(text)})
            else:
                messages.append(
                    {"role": "user" if role == "user" else "assistant", "content": str(part.get("text", ""))}
                )
    require(not open_calls, f"no response to {open_calls}")
    require(contents[-1]["role"] == "user", "the last content is not the user's")
    declared = [d for tool in body.get("tools") or [] for d in tool.get("functionDeclarations") or []]
    for declaration in declared:
        require({"name", "parameters_json_schema"} <= set(declaration), f"a function has {set(declaration)}")
    tools = [{"function": {"name": d["name"], "parameters": d["parameters_json_schema"]}} for d in declared]
    return messages, tools


def _events(messages: list[dict[str, Any]], tools: list[dict[str, Any]], model: str) -> Iterator[dict[str, Any]]:
    what = answer(messages, tools)
    prompt = sum(len(message["content"].split()) for message in messages)

    def event(parts: list[dict[str, Any]], tokens: int, reason: str | None = None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        usage = {"promptTokenCount": prompt, "candidatesTokenCount": tokens, "totalTokenCount": prompt + tokens}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "stand-in"}

    if isinstance(what, str):
        pieces = re.findall(r"\S+\s*", what)
        for number, piece in enumerate(pieces):
            yield event([{"text": piece}], number + 1)
        yield event([{"text": ""}], len(pieces), "STOP")
    else:
        name, arguments = what
        signature = base64.b64encode(f"thought about {name}".encode()).decode()
        yield event([{"functionCall": {"name": name, "args": arguments}, "thoughtSignature": signature}], 8, "STOP")


def _wrong_key() -> web.Response:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    return _error(400, "API key not valid. Please pass a valid API key.", details)


def _error(status: int, message: str, details: list[dict[str, str]] | None = None) -> web.Response:
    error = {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}
    return web.json_response({"error": error | ({"details": details} if details else {})}, status=status)
