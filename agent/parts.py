"""The providers by name: `openai/gpt-4.1-mini` → the plugin's LLM, and so on for STT, TTS, VAD and realtime models."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from livekit.agents import inference
from livekit.agents.llm import LLM, RealtimeModel
from livekit.agents.stt import STT, StreamAdapter
from livekit.agents.tts import TTS
from livekit.agents.vad import VAD

from event_hub.providers import Choice, Providers

from .failure import Failure

LOCAL, SCRIPTED = "local", "scripted"
_MODEL = ("model", "model_id", "model_name")
_VOICE = ("voice", "voice_id", "voice_name")
"""What plugins call it, the likeliest first."""
_PREFERRED: dict[tuple[str, str], dict[str, Any]] = {
    ("openai", "TTS"): {"response_format": "pcm"},  # nothing to decode, so the first audio comes sooner
}
PLACEHOLDER_KEY = "not-needed"
"""For an OpenAI-protocol server of one's own, which asks for no key while OpenAI's client insists on one."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an AgentSession is made of. With a realtime model the rest is None."""

    stt: STT[Any] | None = None
    llm: LLM[Any] | None = None
    tts: TTS[Any] | None = None
    vad: VAD | None = None
    realtime: RealtimeModel | None = None

    def prewarm(self) -> None:
        """Load what takes long to load; in the thread that calls."""
        for part in (self.stt, self.tts):
            if part is not None:
                part.prewarm()


def chosen(environ: Mapping[str, str]) -> Providers:
    """Raises Failure for settings that cannot be read."""
    try:
        return Providers.of(environ)
    except ValueError as error:
        raise Failure(str(error)) from None


def placeholder_key() -> None:
    """OPENAI_BASE_URL without OPENAI_API_KEY."""
    if os.environ.get("OPENAI_BASE_URL") and not os.environ.get("OPENAI_API_KEY"):
        os.environ["OPENAI_API_KEY"] = PLACEHOLDER_KEY


def make_parts(providers: Providers, *, vad: VAD | None = None) -> Parts:
    """All of them, ready to use. `vad`: one that is loaded already. Raises Failure, which says what to install or set."""
    if providers.realtime is not None:
        return Parts(realtime=_make("realtime", providers.realtime))
    vad = vad or make_vad(providers)
    recogniser = _stt(providers.stt, vad)
    if recogniser is None:
        raise Failure("AGENT_STT is none: an agent that talks needs one, or AGENT_REALTIME.")
    model = _make("LLM", providers.llm)
    if model is None:
        raise Failure("AGENT_LLM is none: an agent that answers needs one, or AGENT_REALTIME.")
    return Parts(stt=recogniser, llm=model, tts=_make("TTS", providers.tts), vad=vad)


def make_vad(providers: Providers) -> VAD | None:
    """Loaded; None where AGENT_VAD is none."""
    if providers.realtime is not None or providers.vad is None:
        return None
    if providers.vad.plugin == LOCAL:
        return inference.VAD()
    plugin = _plugin(providers.vad.plugin)
    kind = getattr(plugin, "VAD", None)
    if kind is None:
        raise Failure(f"The plugin {providers.vad.plugin} has no VAD: choose another for AGENT_VAD, or local.", "vad")
    made: VAD = kind.load() if hasattr(kind, "load") else kind()
    return made


def _stt(choice: Choice | None, vad: VAD | None) -> STT[Any] | None:
    made: STT[Any] | None = _make("STT", choice, vad)
    if made is None or made.capabilities.streaming:
        return made
    if vad is None:
        raise Failure(
            f"The STT of {choice.plugin if choice else ''} takes whole utterances, so it needs a VAD: "
            "leave AGENT_VAD away, or choose an STT that streams.",
            "stt",
        )
    return StreamAdapter(stt=made, vad=vad)


def _make(kind: str, choice: Choice | None, vad: VAD | None = None) -> Any:
    """`kind`: STT, LLM, TTS or realtime."""
    if choice is None:
        return None
    if choice.plugin in (LOCAL, SCRIPTED):
        return _own(kind, choice, vad)
    plugin = _plugin(choice.plugin)
    holder, name = (getattr(plugin, "realtime", None), "RealtimeModel") if kind == "realtime" else (plugin, kind)
    maker = getattr(holder, name, None)
    setting = f"AGENT_{kind.upper()}"
    if maker is None:
        raise Failure(f"The plugin {choice.plugin} has no {name}: choose another one for {setting}.", kind.lower())
    options = dict(_PREFERRED.get((choice.plugin, kind), {}))
    for value, names, what in ((choice.model, _MODEL, "model"), (choice.voice, _VOICE, "voice")):
        if value:
            options[_parameter(maker, names, f"{setting}: the {name} of {choice.plugin} takes no {what}.")] = value
    language = os.environ.get("AGENT_LANGUAGE", "").strip()
    if language and kind == "STT" and "language" in inspect.signature(maker).parameters:
        options["language"] = language
    try:
        return maker(**options)
    except Exception as error:  # each plugin complains in its own way; mostly about a key
        raise Failure(f"{setting}={choice.plugin} cannot be used: {_first_line(error)}", kind.lower()) from error


def _own(kind: str, choice: Choice, vad: VAD | None) -> Any:
    from .local import local_llm, local_stt, local_tts  # only here: pocketsphinx may not be installed

    if choice.model:
        raise Failure(f"AGENT_{kind.upper()}={choice}: {choice.plugin} has no models, leave {choice.model} away.")
    if kind == "STT" and choice.plugin == LOCAL:
        return local_stt(vad)
    if kind == "TTS" and choice.plugin == LOCAL:
        return local_tts(choice.voice)
    if kind == "LLM":
        return local_llm()
    raise Failure(f"AGENT_{kind.upper()} cannot be {choice.plugin}: name a LiveKit plugin.", kind.lower())


def _plugin(name: str) -> Any:
    try:
        return importlib.import_module(f"livekit.plugins.{name}")
    except ModuleNotFoundError as error:
        package = f"livekit-plugins-{name.replace('_', '-')}"
        if (error.name or "").startswith("livekit.plugins"):
            raise Failure(f"The plugin {name} is not installed: pip install {package}", "settings") from None
        raise Failure(
            f"The plugin {name} cannot be loaded, {error.name} is missing: pip install --upgrade {package}", "settings"
        ) from error


def _parameter(maker: Callable[..., Any], names: tuple[str, ...], complaint: str) -> str:
    parameters = inspect.signature(maker).parameters
    for name in names:
        if name in parameters:
            return name
    raise Failure(complaint)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__
