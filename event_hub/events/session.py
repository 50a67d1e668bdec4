"""What an AgentSession goes through: states, tools, latencies, usage, errors, its beginning and end."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from .envelope import Event, Name, Seconds, Text

AgentId = Annotated[Name | None, Field(description="which agent process it is, where a hub has started it")]


class AgentReady(Event):
    when: ClassVar[str] = "the agent is in the room and listening"
    example: ClassVar[dict[str, Any]] = {"type": "agent_ready", "message": "Voice agent is ready and listening"}
    type: Literal["agent_ready"]
    message: Text | None = None
    agent_id: AgentId = None


class SessionStarted(Event):
    when: ClassVar[str] = "an AgentSession begins"
    example: ClassVar[dict[str, Any]] = {"type": "session_started", "session": "s1", "mode": "room", "agent": "Weather"}
    type: Literal["session_started"]
    mode: Text | None = Field(None, description="how the agent was started")
    agent: Text | None = Field(None, description="the agent's name")


class SessionEnded(Event):
    when: ClassVar[str] = "an AgentSession ends"
    example: ClassVar[dict[str, Any]] = {"type": "session_ended", "session": "s1", "reason": "participant_disconnected"}
    type: Literal["session_ended"]
    reason: Text | None = Field(None, description="LiveKit's close reason")


class AgentStateChanged(Event):
    when: ClassVar[str] = "LiveKit's agent state: initializing, idle, listening, thinking, speaking"
    example: ClassVar[dict[str, Any]] = {
        "type": "agent_state_changed",
        "old_state": "listening",
        "new_state": "thinking",
    }
    type: Literal["agent_state_changed"]
    old_state: Text | None = None
    new_state: Text


class UserStateChanged(Event):
    when: ClassVar[str] = "LiveKit's user state: speaking, listening, away"
    example: ClassVar[dict[str, Any]] = {"type": "user_state_changed", "old_state": "listening", "new_state": "away"}
    type: Literal["user_state_changed"]
    old_state: Text | None = None
    new_state: Text


class ToolCallStarted(Event):
    when: ClassVar[str] = "the agent calls a tool"
    example: ClassVar[dict[str, Any]] = {
        "type": "tool_call_started",
        "call_id": "call_1",
        "name": "lookup_weather",
        "arguments": {"location": "Oslo"},
    }
    type: Literal["tool_call_started"]
    call_id: Name
    name: Name
    arguments: dict[str, Any] | Text | None = Field(None, description="an object, or the model's own JSON text")


class ToolCallUpdated(Event):
    when: ClassVar[str] = "a tool that takes long tells how far it is"
    example: ClassVar[dict[str, Any]] = {
        "type": "tool_call_updated",
        "call_id": "call_1",
        "message": "asking the second weather station",
    }
    type: Literal["tool_call_updated"]
    call_id: Name
    message: Text


class ToolCallFinished(Event):
    when: ClassVar[str] = "the tool has answered or failed; exception text is never published"
    example: ClassVar[dict[str, Any]] = {
        "type": "tool_call_finished",
        "call_id": "call_1",
        "name": "lookup_weather",
        "output": "sunny, 20 °C",
        "is_error": False,
        "duration": 0.21,
    }
    type: Literal["tool_call_finished"]
    call_id: Name
    name: Name | None = None
    output: Any = Field(None, description="what the model was given")
    is_error: bool | None = None
    status: Text | None = Field(None, description="LiveKit's: done, error, cancelled")
    duration: Seconds | None = None


class TurnMetrics(Event):
    when: ClassVar[str] = (
        "the latencies of one turn, under LiveKit's names; a figure that is missing is absent, never 0"
    )
    example: ClassVar[dict[str, Any]] = {"type": "turn_metrics", "llm_node_ttft": 0.31, "e2e_latency": 0.92}
    type: Literal["turn_metrics"]
    transcription_delay: Seconds | None = Field(None, description="end of the user's speech → final transcript")
    end_of_turn_delay: Seconds | None = Field(None, description="end of the user's speech → turn decided to be over")
    on_user_turn_completed_delay: Seconds | None = Field(None, description="time in the agent's own callback")
    llm_node_ttft: Seconds | None = Field(None, description="request → the LLM's first token")
    tts_node_ttfb: Seconds | None = Field(None, description="first text → the first audio of the TTS")
    playback_latency: Seconds | None = Field(None, description="first audio → heard")
    e2e_latency: Seconds | None = Field(None, description="end of the user's speech → the agent is heard")


class UsageUpdated(Event):
    when: ClassVar[str] = "tokens, characters and seconds used so far, per model; only when a figure changed"
    example: ClassVar[dict[str, Any]] = {
        "type": "usage_updated",
        "model_usage": [{"provider": "openai", "model": "gpt-4o-mini", "input_tokens": 120, "output_tokens": 18}],
    }
    type: Literal["usage_updated"]
    model_usage: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = Field(
        None, description="one object per model, LiveKit's field names"
    )


class AgentHandoff(Event):
    when: ClassVar[str] = "another Agent takes over within the session"
    example: ClassVar[dict[str, Any]] = {"type": "agent_handoff", "old_agent": "Greeter", "new_agent": "Billing"}
    type: Literal["agent_handoff"]
    old_agent: Text | None = None
    new_agent: Text


class AgentError(Event):
    when: ClassVar[str] = "something failed in the agent"
    example: ClassVar[dict[str, Any]] = {
        "type": "agent_error",
        "message": "the speech service did not answer",
        "source": "tts",
        "recoverable": True,
    }
    type: Literal["agent_error"]
    message: Text
    source: Text | None = Field(None, description="which part: stt, llm, tts, vad, realtime, …")
    recoverable: bool | None = Field(None, description="the session goes on")
    agent_id: AgentId = None


class AgentProcessStarted(Event):
    when: ClassVar[str] = "the launcher has started an agent process"
    example: ClassVar[dict[str, Any]] = {"type": "agent_process_started", "agent": "ag_1", "pid": 4711}
    type: Literal["agent_process_started"]
    agent: Name
    pid: int = Field(ge=1)
    mode: Text | None = Field(None, description="worker, room or scripted")
    restarts: int | None = Field(None, ge=0, description="how often it was started again after a crash")
    found: bool | None = Field(None, description="an earlier hub had started it")


class AgentProcessExited(Event):
    when: ClassVar[str] = "an agent process is gone"
    example: ClassVar[dict[str, Any]] = {
        "type": "agent_process_exited",
        "agent": "ag_1",
        "code": 1,
        "reason": "crashed",
    }
    type: Literal["agent_process_exited"]
    agent: Name
    code: int | None = Field(None, description="exit code; negative: ended by that signal; null: nobody knows")
    reason: Text | None = Field(None, description="stopped, killed, finished, crashed, wrong settings or gone")
    status: Text | None = Field(None, description="the launcher's state from here on")
    error: Text | None = Field(None, description="why, in one sentence that says what to do")


class EventsDropped(Event):
    when: ClassVar[str] = "a publisher had to drop events of its own, here"
    example: ClassVar[dict[str, Any]] = {"type": "events_dropped", "count": 12, "reason": "queue_full"}
    type: Literal["events_dropped"]
    count: int = Field(ge=1, description="how many")
    reason: Text = Field(
        description="queue_full: the hub was away for too long; too_large: larger than the hub takes; refused: the hub "
        "did not take it; invalid: it cannot be written as JSON"
    )


class LiveKitWebhook(Event):
    """`livekit_room_started`, `livekit_participant_joined`, `livekit_track_published`, …"""

    when: ClassVar[str] = "from LiveKit's own webhooks, one type for each of LiveKit's event names"
    example: ClassVar[dict[str, Any]] = {
        "type": "livekit_participant_joined",
        "room": "support-7",
        "participant": "caller_1",
        "participant_info": {"identity": "caller_1", "kind": 0},
    }
    participant_info: dict[str, Any] | None = Field(None, description="the webhook's participant, unchanged")
    track: dict[str, Any] | None = Field(None, description="the webhook's track, unchanged")
