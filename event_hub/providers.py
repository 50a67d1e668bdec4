"""Which STT, LLM, TTS, VAD or realtime model the agent uses, read from settings, and which keys those need.

Names only, no LiveKit: the hub asks here whether an agent can be started, the agent asks here what to load. Pure:
standard library only.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

OPENAI = "openai"
LOCAL = "local"
"""Needs no key and no network: pocketsphinx, flite or espeak-ng, LiveKit's own VAD."""
SCRIPTED = "scripted"
"""An LLM that says what a script says."""
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
"""Plugin, or plugin and kind where the kinds differ → what its plugin for LiveKit reads from the environment. Of a plugin
that is not listed, `<PLUGIN>_API_KEY` is assumed."""

_WELL_KNOWN = sorted({name.split()[0] for name in _KEYS} | {"silero", LOCAL, SCRIPTED, NONE})
_FORM = re.compile(r"(?P<plugin>[A-Za-z0-9][A-Za-z0-9_-]*)(/(?P<model>[^\s:]+(?::[^\s:]+)*?))?(:(?P<voice>[^\s:]+))?")
_KINDS = ("stt", "llm", "tts", "vad", "realtime")
_VOICED = frozenset({"tts", "realtime"})
_LOCAL_SET = {"stt": LOCAL, "llm": SCRIPTED, "tts": LOCAL}
_DEFAULTS = {"stt": OPENAI, "llm": OPENAI, "tts": OPENAI, "vad": LOCAL}
_PLACEHOLDER = {"OPENAI_API_KEY": "OPENAI_BASE_URL"}
"""A key that may be absent where the address is one's own."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One provider: LiveKit's plugin by name, and its model and voice where they were named."""

    plugin: str
    model: str | None = None
    voice: str | None = None

    def __str__(self) -> str:
        """As it is written in a setting."""
        return self.plugin + (f"/{self.model}" if self.model else "") + (f":{self.voice}" if self.voice else "")


@dataclass(frozen=True, slots=True)
class Providers:
    """What an agent is made of. None: without it. With `realtime` there are no `stt`, `llm` and `tts`."""

    stt: Choice | None = None
    llm: Choice | None = None
    tts: Choice | None = None
    vad: Choice | None = None
    realtime: Choice | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Providers:
        """Read `AGENT_STT`, `AGENT_LLM`, `AGENT_TTS`, `AGENT_VAD`, `AGENT_REALTIME` and `AGENT_PROVIDERS`.

        Raises ValueError that names the setting, and says what may be written there. What is empty counts as unset.
        """
        shorthand = environ.get("AGENT_PROVIDERS", "").strip()
        if shorthand not in ("", LOCAL):
            raise ValueError(
                f"AGENT_PROVIDERS={shorthand}: only `local` is known; or set AGENT_STT, AGENT_LLM, AGENT_TTS"
            )
        defaults = {**_DEFAULTS, **(_LOCAL_SET if shorthand else {})}
        chosen: dict[str, Choice | None] = {}
        for kind in _KINDS:
            name = f"AGENT_{kind.upper()}"
            text = environ.get(name, "").strip() or defaults.get(kind, NONE)
            chosen[kind] = _choice(kind, name, text)
        if chosen["realtime"]:
            chosen.update(stt=None, llm=None, tts=None)
        return cls(**chosen)

    def key_names(self) -> list[str]:
        """The environment names that these providers read, each once, in the order of STT, LLM, TTS, VAD, realtime."""
        names: dict[str, None] = {}
        for kind in _KINDS:
            choice: Choice | None = getattr(self, kind)
            if choice and choice.plugin not in _NEEDS_NO_KEY:
                names.update(dict.fromkeys(_of_plugin(choice.plugin, kind)))
        return list(names)


def missing(environ: Mapping[str, str]) -> list[str]:
    """The names of those that are needed and not set. Raises ValueError as `Providers.of` does."""
    return [
        name
        for name in Providers.of(environ).key_names()
        if not environ.get(name, "").strip() and not environ.get(_PLACEHOLDER.get(name, ""), "").strip()
    ]


def _choice(kind: str, name: str, text: str) -> Choice | None:
    """What `text` in the setting `name` asks for; raises ValueError."""
    if text == NONE:
        return None
    voice = f", or plugin/model:voice ({_EXAMPLES[kind]})" if kind in _VOICED else f" ({_EXAMPLES[kind]})"
    found = _FORM.fullmatch(text)
    if not found or (found["voice"] and kind not in _VOICED and not found["model"]):
        raise ValueError(f"{name}={text}: write plugin or plugin/model{voice}")
    plugin, model, spoken = found["plugin"].lower(), found["model"], found["voice"]
    if spoken and kind not in _VOICED:  # a model's own name may have a colon, as those of Ollama have
        model, spoken = f"{model}:{spoken}", None
    if plugin == SCRIPTED and kind != "llm":
        raise ValueError(f"{name}={text}: scripted is an LLM; write {_EXAMPLES[kind]}")
    if plugin == LOCAL and kind in ("llm", "realtime"):
        raise ValueError(f"{name}={text}: local is for STT, TTS and VAD; write {_EXAMPLES[kind]}")
    if plugin not in _WELL_KNOWN:
        close = difflib.get_close_matches(plugin, _WELL_KNOWN, 1, 0.8)
        if close:
            raise ValueError(f"{name}={text}: there is no plugin {plugin}; do you mean {close[0]}?")
    return Choice(plugin, model, spoken)


_EXAMPLES = {
    "stt": "openai, deepgram/nova-3, local or none",
    "llm": "openai/gpt-4.1-mini, anthropic, scripted or none",
    "tts": "openai, cartesia, openai/gpt-4o-mini-tts:alloy, local or none",
    "vad": "local, silero or none",
    "realtime": "openai/gpt-realtime:marin, google or none",
}


def _of_plugin(plugin: str, kind: str) -> tuple[str, ...]:
    own = _KEYS.get(f"{plugin} {kind}") or _KEYS.get(plugin)
    return own or (f"{re.sub('[^A-Z0-9]', '_', plugin.upper())}_API_KEY",)
