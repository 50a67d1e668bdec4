"""The frames in the gateway's guides are frames of its protocols."""

from __future__ import annotations

import json
import re

import pytest

from event_hub.websocket_protocols.base import Frame
from event_hub.websocket_protocols.protocols import PROTOCOLS
from event_hub.websocket_protocols.replies import Answer

from ..hubs import ROOT

PAGES = ("gateway.md", "gateway-voice.md", "gateway-audio.md", "websocket-llm.md")
MODELS = [frame for protocol in PROTOCOLS for frame in (*protocol.client, *protocol.server)] + [Answer]


def frames(page: str) -> list[str]:
    found, decoder = [], json.JSONDecoder()
    for block in re.findall(r"^ *```json\n(.*?)^ *```", (ROOT / "docs" / page).read_text(), re.M | re.S):
        rest = block.strip()
        while rest:
            frame, end = decoder.raw_decode(rest)
            found.append(json.dumps(frame))
            rest = rest[end:].strip()
    return found


def fits(model: type[Frame], text: str) -> bool:
    try:
        made = model.model_validate_json(text)
    except ValueError:
        return False
    return set(json.loads(text)) <= set(type(made).model_fields)


@pytest.mark.parametrize("page", PAGES)
def test_every_frame_in_a_guide_is_one_of_a_protocol(page: str) -> None:
    for text in frames(page):
        assert any(fits(model, text) for model in MODELS), f"{page}: {text}"


def test_the_guides_show_frames() -> None:
    assert sum(len(frames(page)) for page in PAGES) > 8
