"""Sample events for screenshots: two rooms with tool calls, an interruption, an error and a handoff."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]


class _Room:
    """One conversation. Each method yields events and advances the clock."""

    def __init__(self, room: str, session: str, caller: str, agent: str, began: float) -> None:
        self.common = {"room": room, "session": session}
        self.caller = caller
        self.agent = agent
        self.now = began
        self.utterances = 0

    def _event(self, kind: str, **fields: Any) -> Event:
        self.now += 0.02
        return {"type": kind, **self.common, "timestamp": round(self.now, 3), **fields}

    def begin(self) -> Iterator[Event]:
        yield self._event("session_started", mode="room", agent=self.agent)
        yield self._event("agent_ready", message="Voice agent is ready and listening")

    def user(self, text: str, *, final: bool = True) -> Iterator[Event]:
        self.utterances += 1
        common = {"role": "user", "participant": self.caller, "utterance": f"u{self.utterances}"}
        words = text.split(" ")
        yield self._event("user_speech_started", participant=self.caller)
        for n in range(2, len(words), 3):
            self.now += 0.4
            yield self._event("transcript", text=" ".join(words[:n]), final=False, **common)
        if final:
            self.now += 0.3
            yield self._event("user_speech_finished", participant=self.caller)
            yield self._event("transcript", text=text, final=True, **common)
            yield self._event("agent_state_changed", old_state="listening", new_state="thinking")

    def tool(
        self, name: str, arguments: Event, output: Any, duration: float, *, failed: bool = False
    ) -> Iterator[Event]:
        call = f"call_{self.utterances}_{name}"
        yield self._event("tool_call_started", call_id=call, name=name, arguments=arguments)
        self.now += duration
        more = {"output": output, "is_error": failed, "duration": duration}
        yield self._event("tool_call_finished", call_id=call, name=name, **more)

    def says(
        self, text: str, *, heard: str | None = None, e2e: float | None = None, progress: float | None = None
    ) -> Iterator[Event]:
        """`heard`: the text before the caller interrupted. `progress`: the share of the text so far, of an ongoing reply."""
        self.utterances += 1
        utterance = f"a{self.utterances}"
        yield self._event("agent_state_changed", old_state="thinking", new_state="speaking")
        offset = 0
        words = text.split(" ")
        for n, word in enumerate(words if progress is None else words[: int(len(words) * progress)]):
            delta = word if n == 0 else f" {word}"
            yield self._event("agent_text_delta", delta=delta, offset=offset, utterance=utterance)
            offset += len(delta)
            if n == 1:
                yield self._event("agent_speech_started", utterance=utterance)
        if progress is not None:
            return
        yield self._event("agent_text_complete", text=text, utterance=utterance)
        position = round(len(heard or text) * 0.055, 1)
        self.now += position
        cut = heard is not None
        yield self._event("agent_speech_finished", utterance=utterance, interrupted=cut, position=position)
        said = {"role": "agent", "participant": self.agent.lower(), "text": heard or text, "final": True}
        yield self._event("transcript", utterance=utterance, interrupted=cut, **said)
        yield self._event("agent_state_changed", old_state="speaking", new_state="listening")
        if e2e is not None:
            parts = {"transcription_delay": 0.18, "end_of_turn_delay": 0.31, "llm_node_ttft": round(e2e - 0.62, 2)}
            yield self._event("turn_metrics", utterance=utterance, **parts, tts_node_ttfb=0.13, e2e_latency=e2e)

    def other(self, kind: str, **fields: Any) -> Iterator[Event]:
        yield self._event(kind, **fields)


def events(now: float) -> list[Event]:
    """The events of both rooms, ordered by timestamp; the last one has the timestamp `now`."""
    weather = _Room("support-7", "AS_k3Yq", "caller_1", "Weather", now - 64)
    desk = _Room("front-desk", "AS_9fTn", "+47 912 34 567", "Reception", now - 58)
    forecast = (
        "In Oslo it will be sunny tomorrow, up to twenty degrees, with a light wind from the south. In the evening"
    )
    both = [
        *weather.begin(),
        *weather.says("Hello, this is the weather desk. Which place would you like to know about?"),
        *desk.begin(),
        *weather.user("What will the weather be like in Oslo tomorrow?"),
        *weather.tool("lookup_weather", {"location": "Oslo", "day": "tomorrow"}, "sunny, 20 °C, wind 3 m/s S", 0.43),
        *weather.says(f"{forecast} a few clouds may come in over the fjord.", heard=forecast[:90], e2e=1.18),
        *desk.says("Good morning, Fjord Hotel, how can I help you?"),
        *desk.user("Hi, I would like to move my booking to Friday, please."),
        *desk.tool("find_booking", {"phone": "+47 912 34 567"}, "the tool failed", 2.0, failed=True),
        *desk.other("agent_error", message="the speech service did not answer in time", source="tts", recoverable=True),
        *weather.user("And on Sunday?"),
        *weather.tool("lookup_weather", {"location": "Oslo", "day": "Sunday"}, "rain, 13 °C", 0.38),
        *weather.says("On Sunday it will rain, with thirteen degrees. Do take an umbrella.", e2e=0.94),
        *weather.user("Great, thank you."),
        *weather.says("You are welcome. Have a nice weekend!", e2e=0.81),
        *desk.other("agent_handoff", old_agent="Reception", new_agent="Bookings"),
        *desk.says("I am sorry for the wait. I see your booking now, from Thursday to Saturday.", e2e=1.62),
        *desk.user("Yes, that one. מחר בבוקר, if you can."),
        *weather.user("One more thing, will it be warm enough to", final=False),
        *desk.says(
            "Of course. I have moved your arrival to Friday the 27th, and your room stays the same.", progress=0.7
        ),
    ]
    usage = [{"provider": "openai", "model": "gpt-4o-mini", "input_tokens": 1290, "output_tokens": 214}]
    both += weather.other("usage_updated", model_usage=usage)
    shift = now - max(event["timestamp"] for event in both)
    return sorted(({**e, "timestamp": round(e["timestamp"] + shift, 3)} for e in both), key=lambda e: e["timestamp"])
