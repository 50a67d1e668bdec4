"""Checks before the start: are LiveKit and OpenAI reachable, and do they accept the keys? A failure is one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

from event_hub.providers import Providers

from .failure import UNREACHABLE, Failure
from .settings import LiveKit, shown, urlsplit_of

PATIENCE = (3.0, 5.0)
"""Seconds to connect and to receive the response; the hub's status must show a failure within 15 s."""
OPENAI = "https://api.openai.com/v1"


def check(livekit: LiveKit, providers: Providers) -> None:
    """Run the checks concurrently; raises the first Failure."""
    with ThreadPoolExecutor(2) as pool:
        tasks: list[Callable[[], None]] = [lambda: check_livekit(livekit)]
        chosen = (providers.stt, providers.llm, providers.tts, providers.realtime)
        if any(choice is not None and choice.plugin == "openai" for choice in chosen):
            tasks.append(check_openai)
        for future in [pool.submit(task) for task in tasks]:
            future.result()


def check_livekit(livekit: LiveKit) -> None:
    """Make one cheap request with a token of our own; raises Failure."""
    from livekit.api import AccessToken, VideoGrants  # imported here because it takes 0.9 s

    parts = urlsplit_of(livekit.url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme.lower(), parts.scheme)
    where = f"{scheme}://{parts.netloc}{parts.path}".rstrip("/")
    token = AccessToken(livekit.key, livekit.secret).with_grants(VideoGrants(room_list=True)).to_jwt()
    try:
        response = requests.post(
            f"{where}/twirp/livekit.RoomService/ListRooms",
            json={"names": ["event-hub-probe"]},
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )
    except (requests.RequestException, ValueError):
        raise Failure(
            f"LiveKit at {shown(livekit.url)} does not respond: start livekit-server or correct LIVEKIT_URL.",
            "livekit",
            UNREACHABLE,
        ) from None
    if response.status_code in (401, 403):
        raise Failure(
            f"LiveKit at {shown(livekit.url)} rejects the key: correct LIVEKIT_API_KEY and LIVEKIT_API_SECRET.",
            "livekit",
        )
    if response.status_code != 200:
        raise Failure(
            f"The server at {shown(livekit.url)} is not LiveKit (HTTP status {response.status_code}): correct LIVEKIT_URL.",
            "livekit",
        )


def check_openai() -> None:
    """Request the list of models, which is free; raises Failure."""
    base = (os.environ.get("OPENAI_BASE_URL") or OPENAI).rstrip("/")
    key = os.environ.get("OPENAI_API_KEY", "")
    if not (key.isascii() and key.isprintable()):
        raise Failure("OPENAI_API_KEY contains a line break or a character that no key has: correct it.", "openai")
    try:
        response = requests.get(
            f"{base}/models",
            headers={"Authorization": f"Bearer {key}"},
            timeout=PATIENCE,
            stream=True,  # the list itself is not needed
        )
        response.close()
    except (requests.RequestException, ValueError):
        raise Failure(
            f"OpenAI at {shown(base)} does not respond: check the network, or correct OPENAI_BASE_URL.",
            "openai",
            UNREACHABLE,
        ) from None
    if response.status_code in (401, 403):
        raise Failure(f"OpenAI at {shown(base)} rejects the key: correct OPENAI_API_KEY.", "openai")
