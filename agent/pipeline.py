"""Voice pipeline parts from providers by name: `openai/gpt-4.1-mini` → the plugin's LLM, likewise STT, TTS, VAD, realtime.

Each maker works alone and asks only for what its own part needs: a transcription service calls `make_stt`, a text chat
`make_llm`. `make_pipeline` combines them into a voice agent.
"""

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
from .vendors import vendor_options

LOCAL, SCRIPTED = "local", "scripted"
_MODEL = ("model", "model_id", "model_name")
_VOICE = ("voice", "voice_id", "voice_name")
_LANGUAGE = ("language", "language_codes", "languages")
"""Names that plugins give these parameters, most likely first."""
_PREFERRED: dict[tuple[str, str], dict[str, Any]] = {
    ("openai", "TTS"): {"response_format": "pcm"},  # nothing to decode, so the first audio comes sooner
}
PLACEHOLDER_KEY = "not-needed"
"""For self-hosted servers that speak OpenAI's protocol: they ask for no key, but OpenAI's client insists on one."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The parts of an AgentSession. A realtime model replaces all the others; without an STT it is a text chat."""

    stt: STT[Any] | None = None
    llm: LLM[Any] | None = None
    tts: TTS[Any] | None = None
    vad: VAD | None = None
    realtime: RealtimeModel | None = None

    def prewarm(self) -> None:
        """Load models that take time to load, in the calling thread."""
        for part in (self.stt, self.tts):
            if part is not None:
                part.prewarm()


def read_providers(environ: Mapping[str, str]) -> Providers:
    """The providers that the environment chooses. Raises Failure for a value that cannot be read."""
    try:
        return Providers.of(environ)
    except ValueError as error:
        raise Failure(str(error)) from None


def set_placeholder_key() -> None:
    """Set OPENAI_API_KEY where OPENAI_BASE_URL names a server and no key is set."""
    if os.environ.get("OPENAI_BASE_URL") and not os.environ.get("OPENAI_API_KEY"):
        os.environ["OPENAI_API_KEY"] = PLACEHOLDER_KEY


def make_pipeline(providers: Providers, *, vad: VAD | None = None) -> Pipeline:
    """All parts of a voice agent. `vad`: one that is loaded already. Raises Failure saying what to install or set."""
    if providers.realtime is not None:
        return Pipeline(realtime=make_realtime(providers))
    for kind, choice in (("STT", providers.stt), ("LLM", providers.llm)):
        if choice is None:
            raise Failure(
                f"AGENT_{kind} is none, but a voice agent needs an {kind}: choose one, or set AGENT_REALTIME."
            )
    vad = vad or _vad_if_chosen(providers)
    return Pipeline(
        stt=make_stt(providers, vad=vad),
        llm=make_llm(providers),
        tts=make_tts(providers) if providers.tts is not None else None,
        vad=vad,
    )


def make_stt(providers: Providers, *, vad: VAD | None = None) -> STT[Any]:
    """A streaming STT. One that takes whole utterances is adapted with `vad`, or with the VAD that AGENT_VAD chooses."""
    choice = _chosen(providers, "STT", providers.stt)
    if choice.plugin == LOCAL:
        vad = vad or _vad_if_chosen(providers)
    made: STT[Any] = _make("STT", choice, vad)
    if made.capabilities.streaming:
        return made
    vad = vad or _vad_if_chosen(providers)
    if vad is None:
        raise Failure(
            f"The STT of {choice.plugin} takes whole utterances, so it needs a VAD: "
            "unset AGENT_VAD, or choose an STT that streams.",
            "stt",
        )
    return StreamAdapter(stt=made, vad=vad)


def make_llm(providers: Providers) -> LLM[Any]:
    """The LLM. Raises Failure."""
    made: LLM[Any] = _make("LLM", _chosen(providers, "LLM", providers.llm))
    return made


def make_tts(providers: Providers) -> TTS[Any]:
    """The TTS. Raises Failure."""
    made: TTS[Any] = _make("TTS", _chosen(providers, "TTS", providers.tts))
    return made


def make_realtime(providers: Providers) -> RealtimeModel:
    """The realtime model. Raises Failure."""
    made: RealtimeModel = _make("realtime", _chosen(providers, "realtime", providers.realtime))
    return made


def make_vad(providers: Providers) -> VAD:
    """The VAD, loaded. Raises Failure."""
    choice = _chosen(providers, "VAD", providers.vad)
    if choice.plugin == LOCAL:
        return inference.VAD()
    kind = getattr(_plugin(choice.plugin), "VAD", None)
    if kind is None:
        raise Failure(f"The plugin {choice.plugin} has no VAD: choose another for AGENT_VAD, or local.", "vad")
    made: VAD = kind.load() if hasattr(kind, "load") else kind()
    return made


def _vad_if_chosen(providers: Providers) -> VAD | None:
    return make_vad(providers) if providers.vad is not None else None


def _chosen(providers: Providers, kind: str, choice: Choice | None) -> Choice:
    """`choice`; raises Failure where no provider is chosen for this part."""
    if choice is not None:
        return choice
    name = "realtime model" if kind == "realtime" else kind
    setting = f"AGENT_{kind.upper()}"
    if providers.realtime is not None and kind != "VAD":
        raise Failure(
            f"AGENT_REALTIME={providers.realtime} replaces STT, LLM and TTS, so there is no {name}: unset AGENT_REALTIME.",
            kind.lower(),
        )
    raise Failure(f"{setting} is none, so there is no {name}: set {setting} to a provider.", kind.lower())


def _make(kind: str, choice: Choice, vad: VAD | None = None) -> Any:
    """`kind`: STT, LLM, TTS or realtime."""
    if choice.plugin in (LOCAL, SCRIPTED):
        return _make_built_in(kind, choice, vad)
    plugin = _plugin(choice.plugin)
    holder, name = (getattr(plugin, "realtime", None), "RealtimeModel") if kind == "realtime" else (plugin, kind)
    maker = getattr(holder, name, None)
    setting = f"AGENT_{kind.upper()}"
    if maker is None:
        raise Failure(f"The plugin {choice.plugin} has no {name}: choose another for {setting}.", kind.lower())
    options = {**_PREFERRED.get((choice.plugin, kind), {}), **vendor_options(choice.plugin, kind, os.environ)}
    for value, names, what in ((choice.model, _MODEL, "model"), (choice.voice, _VOICE, "voice")):
        if value:
            options[_parameter(maker, names, f"{setting}: the {name} of {choice.plugin} takes no {what}.")] = value
    language = os.environ.get("AGENT_LANGUAGE", "").strip()
    if language and kind == "STT" and (taken := _first_parameter(maker, _LANGUAGE)):
        options[taken] = language
    try:
        return maker(**options)
    except Exception as error:  # plugins raise errors of any kind, mostly about a key
        raise Failure(f"{setting}={choice.plugin} cannot be used: {_first_line(error)}", kind.lower()) from error


def _make_built_in(kind: str, choice: Choice, vad: VAD | None) -> Any:
    from .local import local_llm, local_stt, local_tts  # loaded only where they are chosen

    if choice.model:
        raise Failure(f"AGENT_{kind.upper()}={choice}: {choice.plugin} has no models; remove /{choice.model}.")
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
    name = _first_parameter(maker, names)
    if name is None:
        raise Failure(complaint)
    return name


def _first_parameter(maker: Callable[..., Any], names: tuple[str, ...]) -> str | None:
    parameters = inspect.signature(maker).parameters
    return next((name for name in names if name in parameters), None)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:300] if text else type(error).__name__
