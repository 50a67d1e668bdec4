"""The agent's providers (STT, LLM, TTS, VAD, realtime model) read from its settings, and the keys that they need.

Names only, without LiveKit: the hub checks here whether an agent can start, the agent what to load. Pure: standard
library only.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

OPENAI = "openai"
LOCAL = "local"
"""Without a key or a network: pocketsphinx, flite or espeak-ng, and LiveKit's own VAD."""
SCRIPTED = "scripted"
"""An LLM that answers by rules."""
NONE = "none"

_NEEDS_NO_KEY = frozenset({LOCAL, SCRIPTED, "silero"})
_KEYS: dict[str, tuple[str, ...]] = {
    "assemblyai": ("ASSEMBLYAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "aws": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "azure": ("AZURE_SPEECH_KEY", "AZURE_SPEECH_REGION"),
    "azure realtime": ("AZURE_VOICE_LIVE_API_KEY", "AZURE_VOICE_LIVE_ENDPOINT"),
    "baseten": ("BASETEN_API_KEY",),
    "cartesia": ("CARTESIA_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
    "deepgram": ("DEEPGRAM_API_KEY",),
    "elevenlabs": ("ELEVEN_API_KEY",),
    "fal": ("FAL_KEY",),
    "fireworksai": ("FIREWORKS_API_KEY",),
    "fishaudio": ("FISHAUDIO_API_KEY",),
    "gladia": ("GLADIA_API_KEY",),
    "google": ("GOOGLE_API_KEY",),
    "google stt": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "google tts": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "groq": ("GROQ_API_KEY",),
    "hume": ("HUME_API_KEY",),
    "inworld": ("INWORLD_API_KEY",),
    "lmnt": ("LMNT_API_KEY",),
    "minimax": ("MINIMAX_API_KEY",),
    "mistralai": ("MISTRAL_API_KEY",),
    "murf": ("MURF_API_KEY",),
    "neuphonic": ("NEUPHONIC_API_TOKEN",),
    "nvidia": ("NVIDIA_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "perplexity": ("PERPLEXITY_API_KEY",),
    "phonic": ("PHONIC_API_KEY",),
    "resemble": ("RESEMBLE_API_KEY",),
    "rime": ("RIME_API_KEY",),
    "sarvam": ("SARVAM_API_KEY",),
    "smallestai": ("SMALLEST_API_KEY",),
    "soniox": ("SONIOX_API_KEY",),
    "speechify": ("SPEECHIFY_API_KEY",),
    "speechmatics": ("SPEECHMATICS_API_KEY",),
    "ultravox": ("ULTRAVOX_API_KEY",),
    "xai": ("XAI_API_KEY",),
}
"""Plugin (or plugin and kind, if the kinds differ) → the environment variables that LiveKit's plugin reads. For plugins
that are not listed, `<PLUGIN>_API_KEY` is assumed."""

_WELL_KNOWN = sorted({name.split()[0] for name in _KEYS} | {"silero", LOCAL, SCRIPTED, NONE})
_FORM = re.compile(r"(?P<plugin>[A-Za-z0-9][A-Za-z0-9_-]*)(/(?P<model>[^\s:]+(?::[^\s:]+)*?))?(:(?P<voice>[^\s:]+))?")
_KINDS = ("stt", "llm", "tts", "vad", "realtime")
_VOICED = frozenset({"tts", "realtime"})
_LOCAL_SET = {"stt": LOCAL, "llm": SCRIPTED, "tts": LOCAL}
_DEFAULTS = {"stt": OPENAI, "llm": OPENAI, "tts": OPENAI, "vad": LOCAL}
_GATEWAY_OPENAI = "openai/gpt-4o-mini"
_INSTEAD = {"OPENAI_API_KEY": "OPENAI_BASE_URL", "GOOGLE_API_KEY": "GEMINI_API_KEY"}
"""A key that may be missing if this variable is set: it names a server of your own, or is the vendor's other name for it."""
_RETIRED = {"google": re.compile(r"(models/)?gemini-(pro|1\.|2\.0)[a-z0-9.-]*")}
"""Models that the vendor has shut down: https://ai.google.dev/gemini-api/docs/deprecations"""


@dataclass(frozen=True, slots=True)
class Choice:
    """One provider: the name of LiveKit's plugin, optionally with model and voice."""

    plugin: str
    model: str | None = None
    voice: str | None = None

    def __str__(self) -> str:
        """As written in a setting."""
        return self.plugin + (f"/{self.model}" if self.model else "") + (f":{self.voice}" if self.voice else "")


@dataclass(frozen=True, slots=True)
class Providers:
    """The parts of an agent; None for a part that it does without. `realtime` replaces `stt`, `llm` and `tts`."""

    stt: Choice | None = None
    llm: Choice | None = None
    tts: Choice | None = None
    vad: Choice | None = None
    realtime: Choice | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], *, defaults: Mapping[str, str] | None = None) -> Providers:
        """Read `AGENT_STT`, `AGENT_LLM`, `AGENT_TTS`, `AGENT_VAD`, `AGENT_REALTIME` and `AGENT_PROVIDERS`.

        `defaults`: provider by part (`stt`, `llm`, `tts`, `vad`) where a setting is unset; without it OpenAI's. Raises
        ValueError that names the setting and its possible values. Empty counts as unset.
        """
        shorthand = environ.get("AGENT_PROVIDERS", "").strip()
        if shorthand not in ("", LOCAL):
            raise ValueError(
                f"AGENT_PROVIDERS={shorthand}: the only value is local; or set AGENT_STT, AGENT_LLM, AGENT_TTS"
            )
        defaults = {**_DEFAULTS, **(defaults or {}), **(_LOCAL_SET if shorthand else {})}
        chosen: dict[str, Choice | None] = {}
        for kind in _KINDS:
            name = f"AGENT_{kind.upper()}"
            text = environ.get(name, "").strip() or defaults.get(kind, NONE)
            chosen[kind] = _choice(kind, name, text)
        if chosen["realtime"]:
            chosen.update(stt=None, llm=None, tts=None)
        return cls(**chosen)

    def key_names(self) -> list[str]:
        """The environment variables that these providers read, each once, in the order STT, LLM, TTS, VAD, realtime."""
        names: dict[str, None] = {}
        for kind in _KINDS:
            choice: Choice | None = getattr(self, kind)
            if choice and choice.plugin not in _NEEDS_NO_KEY:
                names.update(dict.fromkeys(_key_names(choice.plugin, kind)))
        return list(names)


def missing(environ: Mapping[str, str]) -> list[str]:
    """The required variables that are not set. Raises ValueError like `Providers.of`."""
    return _unset(Providers.of(environ), environ)


def gateway_providers(environ: Mapping[str, str]) -> Providers:
    """The gateway's providers: like `Providers.of`, but what is unset needs neither key nor network.

    STT and TTS are local by default; the LLM is OpenAI's if its key or a server of your own is set, and scripted
    otherwise. AGENT_REALTIME is ignored: the gateway's endpoints use STT, LLM and TTS one by one. Raises ValueError.
    """
    openai = any(environ.get(name, "").strip() for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"))
    defaults = {**_LOCAL_SET, "llm": _GATEWAY_OPENAI if openai else SCRIPTED}
    return Providers.of({**environ, "AGENT_REALTIME": NONE}, defaults=defaults)


def gateway_missing(environ: Mapping[str, str]) -> list[str]:
    """The variables that the gateway's providers require and that are not set. Raises ValueError."""
    return _unset(gateway_providers(environ), environ)


def _unset(chosen: Providers, environ: Mapping[str, str]) -> list[str]:
    return [
        name
        for name in chosen.key_names()
        if not environ.get(name, "").strip() and not environ.get(_INSTEAD.get(name, ""), "").strip()
    ]


def _choice(kind: str, name: str, text: str) -> Choice | None:
    """The provider that `text` in the setting `name` chooses; raises ValueError."""
    if text == NONE:
        return None
    voice = f", or plugin/model:voice ({_EXAMPLES[kind]})" if kind in _VOICED else f" ({_EXAMPLES[kind]})"
    found = _FORM.fullmatch(text)
    if not found or (found["voice"] and kind not in _VOICED and not found["model"]):
        raise ValueError(f"{name}={text}: write plugin or plugin/model{voice}")
    plugin, model, spoken = found["plugin"].lower(), found["model"], found["voice"]
    if spoken and kind not in _VOICED:  # model names can contain a colon, as Ollama's do
        model, spoken = f"{model}:{spoken}", None
    if plugin == SCRIPTED and kind != "llm":
        raise ValueError(f"{name}={text}: scripted is an LLM; write {_EXAMPLES[kind]}")
    if plugin == LOCAL and kind in ("llm", "realtime"):
        raise ValueError(f"{name}={text}: local is for STT, TTS and VAD; write {_EXAMPLES[kind]}")
    if plugin not in _WELL_KNOWN:
        close = difflib.get_close_matches(plugin, _WELL_KNOWN, 1, 0.8)
        if close:
            raise ValueError(f"{name}={text}: unknown plugin {plugin}; do you mean {close[0]}?")
    if model and plugin in _RETIRED and _RETIRED[plugin].fullmatch(model):
        raise ValueError(
            f"{name}={text}: {plugin} has shut down {model}; write {plugin} for the default model, or name a newer model"
        )
    return Choice(plugin, model, spoken)


_EXAMPLES = {
    "stt": "openai, deepgram/nova-3, local or none",
    "llm": "openai/gpt-4.1-mini, anthropic, scripted or none",
    "tts": "openai, cartesia, openai/gpt-4o-mini-tts:alloy, local or none",
    "vad": "local, silero or none",
    "realtime": "openai/gpt-realtime:marin, google or none",
}


def _key_names(plugin: str, kind: str) -> tuple[str, ...]:
    known = _KEYS.get(f"{plugin} {kind}") or _KEYS.get(plugin)
    return known or (f"{re.sub('[^A-Z0-9]', '_', plugin.upper())}_API_KEY",)
