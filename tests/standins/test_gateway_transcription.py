"""`/ws/transcribe-stream` with AssemblyAI behind it (V27): what a client of the gateway sees when the vendor works, and when
it fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ..conftest import outliving
from ..gateway.gateways import Client, GatewayProcess, client
from ..hubs import until
from ..livekit.speech import Recogniser, Sound, overlap
from .assemblyai_standin import AssemblyAIStandin
from .ear import Ear
from .plugins import PIECE, uttered
from .server import KEY, Trouble

WEATHER, HELP = "What is the weather in Oslo?", "Can you help me please?"
PATH = "/ws/transcribe-stream"


@dataclass(frozen=True)
class World:
    gateway: GatewayProcess
    assemblyai: AssemblyAIStandin


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        outliving() as keep,
        Recogniser() as recogniser,
        AssemblyAIStandin(recogniser) as standin,
        GatewayProcess(
            tmp_path_factory.mktemp("gateway"),
            AGENT_STT="assemblyai",
            ASSEMBLYAI_API_KEY=KEY,
            ASSEMBLYAI_BASE_URL=standin.base_url,
        ) as gateway,
    ):
        list(Ear(recogniser).hear(uttered(WEATHER, HELP).tobytes()))  # so that nothing waits for the recogniser later
        gateway.ready()
        keep()
        yield World(gateway, standin)


@pytest.fixture
def world(running: World) -> World:
    running.assemblyai.key, running.assemblyai.trouble = KEY, Trouble(times=0)
    running.assemblyai.asked.clear()
    return running


def spoken(socket: Client, sound: Sound) -> None:
    """Send audio in pieces of 50 ms."""
    for start in range(0, len(sound), PIECE):
        socket.send(sound[start : start + PIECE].tobytes())


def transcribed(world: World, *texts: str) -> list[dict[str, object]]:
    """All frames from `ready` to `end`."""
    with client(world.gateway.ws(f"{PATH}?session_id=s1")) as socket:
        spoken(socket, uttered(*texts))
        socket.send({"type": "end"})
        return socket.until("end")


def finals(frames: list[dict[str, object]]) -> list[str]:
    return [str(frame["text"]) for frame in frames if frame["type"] == "final"]


def test_speech_is_transcribed_by_assemblyai(world: World) -> None:
    """V27: interims while the user speaks, one final per utterance, tied to its interims."""
    frames = transcribed(world, WEATHER, HELP)
    assert (frames[0]["type"], frames[0]["sample_rate"], frames[0]["session_id"]) == ("ready", 16000, "s1")
    first, second = finals(frames)
    assert overlap(WEATHER, first) > 0.6
    assert overlap(HELP, second) > 0.6
    kinds = [frame["type"] for frame in frames]
    assert kinds.index("speech_started") < kinds.index("partial") < kinds.index("final")
    utterances = {frame["utterance"] for frame in frames if frame["type"] in ("partial", "final")}
    assert len(utterances) == 2
    [asked] = world.assemblyai.asked
    assert (asked.headers["authorization"], asked.query["sample_rate"]) == (KEY, "16000")
    until(lambda: world.assemblyai.connections == 0, "the connection to end")


@pytest.mark.parametrize("trouble", [{"status": 503}, {"cut": True}])
def test_a_failure_of_assemblyai_is_bridged(world: World, trouble: dict[str, object]) -> None:
    """The client hears of it, and gets each utterance once."""
    world.assemblyai.trouble = Trouble(**trouble)  # type: ignore[arg-type]
    frames = transcribed(world, WEATHER, HELP)
    assert [frame["attempt"] for frame in frames if frame["type"] == "reconnecting"] == [1]
    first, second = finals(frames)
    assert overlap(WEATHER, first) > 0.6
    assert overlap(HELP, second) > 0.6
    assert len(world.assemblyai.asked) == 2


def test_a_client_that_leaves_ends_the_vendors_connection(world: World) -> None:
    with client(world.gateway.ws(PATH)) as socket:
        socket.until("ready")
        spoken(socket, uttered(WEATHER))
        socket.until("speech_started")
    until(lambda: world.assemblyai.connections == 0, "the connection to end")
