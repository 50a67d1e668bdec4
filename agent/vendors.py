"""Options of vendors' plugins that come from the environment, where the plugin itself does not read them.

Pure but for `Failure`: the environment comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failure import Failure
from .settings import shown, urlsplit_of

_BASE_URLS: dict[str, tuple[str, str, Mapping[str, str]]] = {
    "assemblyai": ("ASSEMBLYAI_BASE_URL", "ws", {}),
    "cartesia": ("CARTESIA_BASE_URL", "http", {}),
    "deepgram": ("DEEPGRAM_BASE_URL", "http", {"STT": "/v1/listen", "TTS": "/v1/speak"}),
    "murf": ("MURF_BASE_URL", "http", {}),
}
"""Plugin → variable, scheme that the plugin expects, and the path that its `base_url` includes, by kind. OpenAI's plugin
reads OPENAI_BASE_URL itself, and Google's GOOGLE_GEMINI_BASE_URL."""
_KEYS = {"google": {"LLM": ("GOOGLE_API_KEY", "GEMINI_API_KEY"), "realtime": ("GOOGLE_API_KEY", "GEMINI_API_KEY")}}
"""Plugin → kind → the variable that the plugin reads, and its other name."""
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def vendor_options(plugin: str, kind: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Keyword arguments for the plugin's class. `kind`: STT, LLM, TTS or realtime. Raises Failure for a wrong URL."""
    options: dict[str, Any] = {}
    if plugin in _BASE_URLS:
        name, scheme, paths = _BASE_URLS[plugin]
        text = environ.get(name, "").strip()
        if text:
            options["base_url"] = _base_url(name, text, scheme, paths.get(kind, ""))
    if names := _KEYS.get(plugin, {}).get(kind):
        own, other = (environ.get(name, "").strip() for name in names)
        if other and not own:
            options["api_key"] = other
    return options


def _base_url(name: str, text: str, scheme: str, path: str) -> str:
    """The URL in the form that the plugin expects. Both `http://` and `ws://` are accepted."""
    parts = urlsplit_of(text)
    if parts.scheme not in _SCHEMES or parts.query or parts.fragment:
        raise Failure(f"{name}={shown(text)} is not a server's address: write https://host or http://host:port.")
    secure = _SCHEMES[parts.scheme] == "https"
    base = f"{scheme}{'s' if secure else ''}://{parts.netloc}{parts.path}".rstrip("/")
    return base if base.endswith(path) else base + path
