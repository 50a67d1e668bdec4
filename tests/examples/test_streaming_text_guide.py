"""The guide to StreamingTextOutput has its chapters, and its code runs top to bottom (W26, T17, T18, T19, T24)."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import types
from typing import Any

import pytest

import agent.scripted.llm as scripted
from event_hub.livekit import StreamingTextOutput, TextStream

from ..hubs import PATIENCE, ROOT, free_port

GUIDE = (ROOT / "docs" / "streaming-text.md").read_text()
CHAPTERS = {
    "problem": "The problem",
    "architecture": "Architecture",
    "class": "The class",
    "events": "Events",
    "integration": "In an AgentSession",
    "server": "A server",
    "client": "A client",
    "flow": "What happens in a turn",
    "API reference": "API reference",
    "best practices": "Best practices",
    "limitations": "Limitations",
}


def blocks() -> list[tuple[int, str]]:
    """The Python blocks that are not quoted from files, with their line numbers."""
    found = re.finditer(r"(?<!-->\n)^```python\n(.*?)^```$", GUIDE, re.M | re.S)
    return [(GUIDE[: match.start()].count("\n") + 2, match[1]) for match in found]


def test_the_chapters() -> None:
    headings = re.findall(r"^## (.*)$", GUIDE, re.M)
    assert headings == list(CHAPTERS.values())
    links = re.findall(r"^- \[(.*?)\]\(#(.*?)\)$", GUIDE, re.M)
    assert [name for name, _ in links] == headings
    assert [anchor for _, anchor in links] == [name.lower().replace(" ", "-") for name in headings]


def test_every_public_name_is_in_the_reference() -> None:
    reference = GUIDE.partition("## API reference")[2].partition("## Best practices")[0]
    for owner in (StreamingTextOutput, TextStream):
        names = [name for name in vars(owner) if not name.startswith("_")]
        internal = {"bind", "put", "close", "wake"} if owner is TextStream else set()
        for name in set(names) - internal:
            assert re.search(rf"`(await )?{name}[`(]", reference), name
    for name in inspect.signature(StreamingTextOutput).parameters:
        assert f"| `{name}` |" in reference


def test_the_code_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripted, "FIRST_TOKEN", 0.02)
    monkeypatch.setattr(scripted, "WORDS_PER_SECOND", 500.0)
    port = free_port()
    namespace: dict[str, Any] = {"asyncio": asyncio, "__name__": "guide"}

    async def run() -> None:
        for line, code in blocks():
            padded = "\n" * (line - 1) + code.replace("8765", str(port))  # tracebacks show the guide's line numbers
            compiled = compile(padded, "docs/streaming-text.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            function = types.FunctionType(compiled, namespace)
            waiting = function()
            if inspect.isawaitable(waiting):
                await waiting

    asyncio.run(asyncio.wait_for(run(), 2 * PATIENCE))
    printed = capsys.readouterr().out
    assert len(blocks()) >= 10
    for line in re.findall(r"^print\(.*\)  # (.*)$", GUIDE, re.M):
        assert line in printed.splitlines()
    assert printed.count("The weather in San Francisco is sunny, 68°F.") == 2
