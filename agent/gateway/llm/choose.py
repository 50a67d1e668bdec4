"""Which backend the settings choose."""

from __future__ import annotations

from collections.abc import Mapping

from event_hub.providers import OPENAI, SCRIPTED, Choice, Providers

from ...failure import Failure
from .backends import Backend
from .scripted import ScriptedBackend

BUILT_IN = (OPENAI, SCRIPTED)
"""Providers that need no LiveKit plugin."""


def choice_of(environ: Mapping[str, str]) -> Choice | None:
    """AGENT_LLM; where it is unset, OpenAI if its key or a server of your own is set, otherwise the script.

    Raises Failure for a value that cannot be read.
    """
    has_openai = any(environ.get(name, "").strip() for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"))
    text = environ.get("AGENT_LLM", "").strip() or (OPENAI if has_openai else SCRIPTED)
    try:
        return Providers.of({"AGENT_LLM": text}).llm
    except ValueError as error:
        raise Failure(str(error)) from None


def backend_of(choice: Choice | None, environ: Mapping[str, str]) -> Backend:
    """The backend for a choice. Raises Failure that says what to set."""
    if choice is not None and choice.plugin == SCRIPTED:
        return ScriptedBackend()
    if choice is None or choice.plugin not in BUILT_IN:
        raise Failure(
            f"AGENT_LLM={choice or 'none'}: this server has openai and scripted: choose one of them, or override "
            "_generate_streaming_response().",
            "llm",
        )
    if not any(environ.get(name, "").strip() for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL")):
        raise Failure("OPENAI_API_KEY is not set: set it, or AGENT_LLM=scripted, which needs no key.", "llm")
    from .openai_backend import MODEL, OpenAIBackend  # takes a second to import

    key = environ.get("OPENAI_API_KEY", "").strip() or "not-needed"  # of servers that speak OpenAI's protocol
    return OpenAIBackend(
        choice.model or MODEL, api_key=key, base_url=environ.get("OPENAI_BASE_URL", "").strip() or None
    )
