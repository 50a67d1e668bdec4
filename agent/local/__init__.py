"""Speech without a key or a network: pocketsphinx recognizes, flite or espeak-ng speaks, a script answers.

These are ordinary LiveKit plugins: `AgentSession(stt=local_stt(), llm=local_llm(), tts=local_tts())` works in any agent.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from livekit.agents import inference

from ..failure import Failure
from ..install_speech import by_hand
from .answers import answer

if TYPE_CHECKING:
    from livekit.agents import llm, stt, tts
    from livekit.agents.vad import VAD


def local_stt(vad: VAD | None = None) -> stt.STT[Any]:
    """pocketsphinx, for English. `vad`: LiveKit's own by default. Raises Failure if it is not installed."""
    try:
        from .sphinx import PocketSphinxSTT
    except ImportError:
        raise Failure(f"The local STT is not installed: {by_hand()}", "stt") from None
    return PocketSphinxSTT(vad=vad or inference.VAD())


def local_tts(voice: str | None = None) -> tts.TTS[Any]:
    """flite if it is installed, because it is easier to understand; otherwise espeak-ng. Raises Failure."""
    from .flite import VOICES, FliteTTS

    if shutil.which("flite"):
        if voice is not None and voice not in VOICES:
            raise Failure(f"AGENT_TTS=local:{voice}: flite has no such voice; it has {', '.join(VOICES)}.", "tts")
        return FliteTTS(voice=voice)
    if voice in VOICES:
        raise Failure(f"AGENT_TTS=local:{voice} is a voice of flite, which is not installed: apt install flite.", "tts")
    try:
        from .espeak import EspeakTTS

        return EspeakTTS(voice=voice)
    except ImportError:
        raise Failure(f"The local TTS is not installed: apt install flite, or {by_hand()}", "tts") from None


def local_llm() -> llm.LLM[Any]:
    """A scripted LLM that answers by rules."""
    from ..scripted.llm import ScriptedLLM

    return ScriptedLLM(answer)


__all__ = ["local_llm", "local_stt", "local_tts"]
