"""The gateway's STT, LLM and TTS: made at first use, shared by all connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from event_hub.providers import LOCAL, Choice, Providers, gateway_missing, gateway_providers

from ..failure import Failure

if TYPE_CHECKING:
    from livekit.agents import llm, stt, tts

VOICES = 16
"""TTS objects that are kept, one per voice."""


class Parts:
    """Makes parts from providers. A part that cannot be made raises Failure, whose sentence names what is missing."""

    def __init__(self, providers: Providers) -> None:
        self.providers = providers
        self._lock = asyncio.Lock()
        self._made: dict[str, Any] = {}

    async def stt(self) -> stt.STT[Any]:
        """The STT, streaming; its models are loaded."""
        part: stt.STT[Any] = await self._once("stt", self._make_stt)
        return part

    async def llm(self) -> llm.LLM[Any]:
        """The LLM."""
        part: llm.LLM[Any] = await self._once("llm", self._make_llm)
        return part

    async def tts(self, voice: str | None = None) -> tts.TTS[Any]:
        """The TTS with the provider's default voice, or with `voice`."""
        part: tts.TTS[Any] = await self._once(f"tts {voice or ''}", lambda: self._make_tts(voice))
        return part

    async def aclose(self) -> None:
        """Close all parts."""
        made, self._made = list(self._made.values()), {}
        for part in made:
            await part.aclose()

    async def _once(self, name: str, make: Any) -> Any:
        async with self._lock:
            if name not in self._made:
                voices = [key for key in self._made if key.startswith("tts ")]
                made = make()
                if hasattr(made, "prewarm") and name == "stt":
                    await asyncio.to_thread(made.prewarm)
                self._made[name] = made
                if name.startswith("tts ") and len(voices) >= VOICES:
                    # Not closed: a reply may still be spoken with it. It is closed when it is collected.
                    self._made.pop(voices[0])
            return self._made[name]

    def _make_stt(self) -> Any:
        from ..pipeline import make_stt

        made: Any = make_stt(self.providers)
        if self.providers.stt is not None and self.providers.stt.plugin == LOCAL:
            from ..local.sphinx_process import ProcessDecoders

            made.decoders = ProcessDecoders()  # in this process, decoding would delay all other connections
        return made

    def _make_llm(self) -> Any:
        from ..pipeline import make_llm

        return make_llm(self.providers)

    def _make_tts(self, voice: str | None) -> Any:
        from ..pipeline import make_tts

        choice = self.providers.tts
        if voice and choice is not None:
            return make_tts(Providers(tts=Choice(choice.plugin, choice.model, voice)))
        return make_tts(self.providers)


def read_providers(environ: Mapping[str, str]) -> Providers:
    """The providers of the gateway: what the settings choose, otherwise those that need no key.

    Raises Failure for a value that cannot be read, and where a chosen provider's key is missing.
    """
    try:
        absent = gateway_missing(environ)
        if not absent:
            return gateway_providers(environ)
    except ValueError as error:
        raise Failure(str(error)) from None
    them = "it" if len(absent) == 1 else "them"
    raise Failure(
        f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not set, and the chosen providers need {them}: "
        f"set {them}, or unset AGENT_STT, AGENT_LLM and AGENT_TTS to use those that need no key."
    )
