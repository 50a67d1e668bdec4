"""Asked before anything is started: does LiveKit answer, does the key fit? So that what is wrong is said in one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

from event_hub.providers import Providers

from .failure import UNREACHABLE, Failure
from .settings import LiveKit, shown, urlsplit_of

PATIENCE = (3.0, 5.0)
"""Seconds for the connection and for the answer: whoever waits for the status is to know within 15 s."""
OPENAI = "https://api.openai.com/v1"


def check(livekit: LiveKit, providers: Providers) -> None:
    """Both at once; raises the Failure of the first that fails."""
    with ThreadPoolExecutor(2) as pool:
        tasks: list[Callable[[], None]] = [lambda: livekit_answers(livekit)]
        chosen = (providers.stt, providers.llm, providers.tts, providers.realtime)
        if any(choice is not None and choice.plugin == "openai" for choice in chosen):
            tasks.append(openai_answers)
        for future in [pool.submit(task) for task in tasks]:
            future.result()


def livekit_answers(livekit: LiveKit) -> None:
    """One cheap request with a token of ours; raises Failure."""
    from livekit.api import AccessToken, VideoGrants  # here: 0.9 s

    parts = urlsplit_of(livekit.url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme.lower(), parts.scheme)
    where = f"{scheme}://{parts.netloc}{parts.path}".rstrip("/")
    token = AccessToken(livekit.key, livekit.secret).with_grants(VideoGrants(room_list=True)).to_jwt()
    try:
        answer = requests.post(
            f"{where}/twirp/livekit.RoomService/ListRooms",
            json={"names": ["event-hub-probe"]},
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )
    except (requests.RequestException, ValueError):
        raise Failure(
            f"LiveKit at {shown(livekit.url)} does not answer: start livekit-server or correct LIVEKIT_URL.",
            "livekit",
            UNREACHABLE,
        ) from None
    if answer.status_code in (401, 403):
        raise Failure(
            f"LiveKit at {shown(livekit.url)} does not accept the key: correct LIVEKIT_API_KEY and LIVEKIT_API_SECRET.",
            "livekit",
        )
    if answer.status_code != 200:
        raise Failure(
            f"What answers at {shown(livekit.url)} is not LiveKit (HTTP status {answer.status_code}): correct LIVEKIT_URL.",
            "livekit",
        )


def openai_answers() -> None:
    """The list of models, which costs nothing; raises Failure."""
    base = (os.environ.get("OPENAI_BASE_URL") or OPENAI).rstrip("/")
    key = os.environ.get("OPENAI_API_KEY", "")
    if not (key.isascii() and key.isprintable()):
        raise Failure("OPENAI_API_KEY has a line break or a letter in it that no key has: correct it.", "openai")
    try:
        answer = requests.get(
            f"{base}/models",
            headers={"Authorization": f"Bearer {key}"},
            timeout=PATIENCE,
            stream=True,  # the list itself is of no interest
        )
        answer.close()
    except (requests.RequestException, ValueError):
        raise Failure(
            f"OpenAI at {shown(base)} does not answer: check the network, or correct OPENAI_BASE_URL.",
            "openai",
            UNREACHABLE,
        ) from None
    if answer.status_code in (401, 403):
        raise Failure(f"OpenAI at {shown(base)} does not accept the key: correct OPENAI_API_KEY.", "openai")
