"""The scripted LLM's rules: enough for a conversation in front of the hub's page. Pure, and without LiveKit."""

from __future__ import annotations

import re

from .reply import Reply

GREETING = "Hello. I am the voice assistant. Ask me about the weather, or what I can do."
TOOL = "lookup_weather"
_WEATHER = re.compile(r"\b(weather|whether|forecast|rain|raining|sunny|temperature|umbrella)\b")
_PLACE = re.compile(r"\b(?:in|for|at|of) (?:the (?:city of )?)?((?:[a-z'-]+ ?){1,3})")
_AFTER_IT = re.compile(
    r"\b(today|tomorrow|tonight|now|please|right|like|this|next|week|weekend|morning|evening|me)\b.*"
)
_RULES: tuple[tuple[str, str], ...] = (
    (r"\b(good ?bye|bye|see you|farewell)\b", "Goodbye, and have a good day."),
    (r"\b(thank you|thanks|thank)\b", "You are welcome. Is there anything else?"),
    (
        r"\b(help|can you do|do for me)\b",
        "I can look up the weather. Ask, for example: what is the weather in Oslo? You may also interrupt me at any time.",
    ),
    (r"\b(your name|who are you)\b", "I am the voice assistant of the event hub."),
    (
        r"\b(time)\b.*\bis it\b|\bwhat time\b",
        "I have no clock, but the page shows the time of each event.",
    ),
    (
        r"\b(story|tell me|long)\b",
        "Once upon a time there was a little event that lived all alone in a voice agent. One day it set out to see the "
        "world. It came to a hub, and the hub sent it to every page that was open, faster than you can count to one. "
        "Ever since, all events have gone the same way, in order, and each of them exactly once.",
    ),
    (r"\b(hello|hi|hey|good (morning|evening|afternoon))\b", "Hello. How can I help you?"),
    (r"\b(stop|wait|quiet)\b", "I am listening."),
)


def reply_to(said: str, found: str) -> Reply:
    """The reply to the user's last message, given the tool's output since then; "" where there is none."""
    said = said.lower()
    if not said:
        return Reply(GREETING)
    if _WEATHER.search(said):
        place = _place(said)
        if not place:
            return Reply("For which city do you want to know the weather?")
        if not found:
            return Reply(tool=TOOL, arguments={"location": place})
        return Reply(f"The weather in {place} is {found}.")
    for pattern, reply in _RULES:
        if re.search(pattern, said):
            return Reply(reply)
    return Reply(f"I heard: {said.strip(' .!?')}. Ask me about the weather, or say help.")


def _place(said: str) -> str:
    """`what is the weather in new york today?` → `New York`"""
    for match in reversed(list(_PLACE.finditer(said))):
        place = _AFTER_IT.sub("", match[1]).strip(" '-")
        if place:
            return place.title()
    return ""
