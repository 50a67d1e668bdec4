"""`/ws/transcribe-stream` with AssemblyAI and Deepgram, over their real wire protocols (V27, X09)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ...conftest import outliving
from ...livekit.speech import Recogniser
from ...standins.assemblyai_standin import AssemblyAIStandin
from ...standins.deepgram_standin import DeepgramStandin
from ...standins.server import Trouble
from ..gateways import GatewayProcess, client
from .sounds import silence, slices, speech

SENTENCE = "What is the weather in Berlin tomorrow?"


@pytest.fixture(scope="module")
def recogniser() -> Iterator[Recogniser]:
    with outliving() as keep, Recogniser() as process:
        keep()
        yield process


@pytest.mark.parametrize("vendor", [AssemblyAIStandin, DeepgramStandin])
def test_a_provider_transcribes_and_is_connected_again(vendor: Any, recogniser: Recogniser, tmp_path: Path) -> None:
    """V25, V27, V28, V29: the connection is cut within the sentence, the next one is refused; then the key is revoked."""
    name = vendor.__name__.removesuffix("Standin")
    with vendor(recogniser) as standin:
        key, url = f"{name.upper()}_API_KEY", f"{name.upper()}_BASE_URL"
        environ = {"AGENT_STT": name.lower(), key: standin.key, url: standin.base_url}
        with GatewayProcess(tmp_path, **environ) as gateway:
            gateway.ready()
            standin.trouble = Trouble(cut=True)
            with client(gateway.ws("/ws/transcribe-stream")) as connected:
                for piece in slices(silence(0.3) + speech(SENTENCE), 3200):
                    connected.send(piece)
                connected.send({"type": "end"})
                frames = connected.until("end")
                assert "reconnecting" in {frame["type"] for frame in frames}, frames
                said = " ".join(frame["text"] for frame in frames if frame["type"] == "final").lower()
                assert said.count("weather") == said.count("berlin") == 1, frames
                assert any(frame["type"] == "partial" for frame in frames)

                standin.key = "another key"
                connected.send(silence(1.0))
                assert connected.until("error")[-1]["code"] == "stt_failed"
                assert connected.closed()[0] == 1008
        assert standin.key not in gateway.output()
