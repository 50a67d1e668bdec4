"""The code in docs/websocket-llm.md runs, its frames are valid, and its tables are complete."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from agent.gateway import endpoints, errors
from agent.gateway.llm import LLMServer
from agent.gateway.llm import endpoint as llm_endpoint
from agent.gateway.llm.scripted import ScriptedBackend
from event_hub.livekit.websocket_llm.llm import POOL_SIZE
from event_hub.websocket_protocols.llm import CLIENT, SERVER

from ...hubs import ROOT, free_port
from .asking import chunks, connected, text_of
from .servers import run, serving, until

FRAMES = CLIENT | {model.model_fields["type"].default: model for model in SERVER}
PAGE = (ROOT / "docs" / "websocket-llm.md").read_text()


def block(name: str) -> dict[str, Any]:
    """What a code block defines whose first line is its file name."""
    code = next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if code.startswith(f"# {name}\n"))
    names: dict[str, Any] = {"__name__": name.removesuffix(".py")}
    exec(compile(code, name, "exec"), names)  # noqa: S102  our own page
    return names


def test_every_code_block_is_run_here() -> None:
    assert re.findall(r"```python\n# (\S+)\n", PAGE) == ["session.py", "my_server.py", "own_server.py"]
    assert PAGE.count("```python") == 3


def test_the_quick_start() -> None:
    async def body() -> None:
        async with serving(LLMServer(ScriptedBackend(speed=50))) as url:
            assert await block("session.py")["main"](url) == "Hello. How can I help you?"

    run(body)


def test_your_own_model() -> None:
    """L08."""

    async def body() -> None:
        async with serving(block("my_server.py")["Parrot"](name="Parrot")) as url, connected(url) as model:
            assert text_of(await chunks(model, "pieces of eight")) == "pieces of eight "

    run(body)


def test_your_own_server() -> None:
    """The protocol's minimum, as the page describes it, and an interruption."""

    async def body() -> None:
        port = free_port()
        server = asyncio.create_task(block("own_server.py")["main"](port))
        async with connected(f"ws://localhost:{port}") as model:
            found: list[str] = []

            async def ask() -> bool:
                try:
                    found.append(text_of(await chunks(model, "hi")))
                except Exception:  # it is still starting
                    return False
                return True

            while not await ask():
                await asyncio.sleep(0.01)
            assert found == ["You said: hi"]
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
        await until(server.done)

    run(body)


def test_the_frames_on_the_page_are_valid() -> None:
    decoder, frames = json.JSONDecoder(), []
    for text in re.findall(r"```json\n(.*?)```", PAGE, re.S):
        while text := text.strip():
            value, end = decoder.raw_decode(text)
            frames.append(value)
            text = text[end:]
    assert [frame["type"] for frame in frames] == ["chat", "tool_call", "complete", "chat"]
    for frame in frames:
        model = FRAMES[frame["type"]]
        assert model.model_validate(frame).fields().items() >= frame.items()


@pytest.mark.parametrize("name", ["chat", "cancel", "delta", "tool_call", "complete", "error"])
def test_every_frame_is_described(name: str) -> None:
    model = FRAMES[name]
    assert model.__doc__
    assert f"`{name}`" in PAGE
    assert all(field.description for attribute, field in model.model_fields.items() if attribute != "type")


def test_the_tables_name_what_there_is() -> None:
    codes = [code for code in errors.ERRORS if f"`{code}`" in PAGE]
    assert {"backend_busy", "backend_failed", "backend_refused", "backend_timeout"} <= set(codes)
    assert {"duplicate_request_id", "too_many_requests", "frame_too_large", "wrong_endpoint"} <= set(codes)
    assert f"{llm_endpoint.OPEN} requests of this connection are open; {llm_endpoint.AT_ONCE} are" in PAGE
    assert f"| `pool_size` | {POOL_SIZE} |" in PAGE
    assert any(endpoint.path == "/llm" for endpoint in endpoints.ENDPOINTS)
