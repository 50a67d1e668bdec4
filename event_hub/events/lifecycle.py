"""The life of an AgentSession: start, states, tools, latencies, usage, errors, end."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from .envelope import Event, Name, Seconds, SpeechId, Text

AgentId = Annotated[Name | None, Field(description="the agent process, if a hub started it")]


class AgentReady(Event):
    when: ClassVar[str] = "the agent is in the room and listening"
    example: ClassVar[dict[str, Any]] = {"type": "agent_ready", "message": "Voice agent is ready and listening"}
    type: Literal["agent_ready"]
    message: Text | None = None
    agent_id: AgentId = None
    address: Text | None = Field(None, description="of a service: its http, https, ws or wss URL")


class SessionStarted(Event):
    when: ClassVar[str] = "an AgentSession begins"
    example: ClassVar[dict[str, Any]] = {"type": "session_started", "session": "s1", "mode": "room", "agent": "Weather"}
    type: Literal["session_started"]
    mode: Text | None = Field(None, description="how the agent was started")
    agent: Text | None = Field(None, description="the agent's name")
    version: Name | None = Field(None, description="the agent's version, as `attach(session, version=…)` names it")
    job: Name | None = Field(None, description="LiveKit's job")
    primary: bool | None = Field(
        None, description="it is the session of its job that LiveKit records; false: another one"
    )
    room_sid: Name | None = Field(
        None, description="LiveKit's id of the room: a room's name can come again, this cannot"
    )
    agent_name: Text | None = Field(None, description="the name that the agent is dispatched by")
    told: Text | None = Field(
        None,
        description="`afterwards`: the agent reported nothing itself, so this was made from its recording and spans",
    )


class SessionEnded(Event):
    when: ClassVar[str] = "an AgentSession ends"
    example: ClassVar[dict[str, Any]] = {"type": "session_ended", "session": "s1", "reason": "participant_disconnected"}
    type: Literal["session_ended"]
    reason: Text | None = Field(None, description="LiveKit's close reason, or `detached`")
    error: dict[str, Any] | Text | None = Field(
        None, description="the error that closed the session: `type`, `message`, `source`, `status_code`"
    )


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
    speech_id: SpeechId = None


class ToolCallUpdated(Event):
    when: ClassVar[str] = "a running tool reports progress (`ctx.update`)"
    example: ClassVar[dict[str, Any]] = {
        "type": "tool_call_updated",
        "call_id": "call_1",
        "message": "asking the second weather station",
    }
    type: Literal["tool_call_updated"]
    call_id: Name
    message: Text
    silent: bool | None = Field(None, description="only the model gets it; the user hears nothing about it")


class ToolCallFinished(Event):
    when: ClassVar[str] = "a tool returned or failed; exception text is never published"
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
    output: Any = Field(None, description="what the model got")
    is_error: bool | None = Field(None, description="the model was told that the call failed")
    status: Text | None = Field(None, description="LiveKit's status: done, error, cancelled")
    reply_required: bool | None = Field(None, description="the model is to answer; false for a silent tool")
    correction: bool | None = Field(None, description="it replaces an earlier event with the same `call_id`")
    duration: Seconds | None = None


class TurnMetrics(Event):
    when: ClassVar[str] = (
        "the latencies of one turn, under LiveKit's names; a latency that was not measured is absent, never 0"
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
    provider_request_ids: Annotated[list[str], Field(fail_fast=True)] | None = Field(
        None, description="the provider's ids of the requests, to find them in the provider's logs"
    )


class MetricsCollected(Event):
    when: ClassVar[str] = (
        "LiveKit's metrics of one request to a model (LLM, STT, TTS, realtime), or of one end-of-turn or interruption "
        "decision; a value that was not measured is absent"
    )
    example: ClassVar[dict[str, Any]] = {
        "type": "metrics_collected",
        "metrics": {
            "type": "llm_metrics",
            "request_id": "req_1",
            "ttft": 0.31,
            "duration": 0.84,
            "cancelled": False,
            "speech_id": "speech_3f9a",
            "metadata": {"model_name": "gpt-4.1-mini", "model_provider": "openai"},
        },
    }
    type: Literal["metrics_collected"]
    metrics: dict[str, Any] = Field(
        description="LiveKit's field names; `type` is llm_metrics, stt_metrics, tts_metrics, realtime_model_metrics, "
        "eou_metrics, eot_inference_metrics, interruption_metrics, …"
    )


class UsageUpdated(Event):
    when: ClassVar[str] = (
        "tokens, characters and seconds used so far, per model; sent when they change, at most once a second"
    )
    example: ClassVar[dict[str, Any]] = {
        "type": "usage_updated",
        "model_usage": [{"provider": "openai", "model": "gpt-4o-mini", "input_tokens": 120, "output_tokens": 18}],
    }
    type: Literal["usage_updated"]
    model_usage: Annotated[list[dict[str, Any]], Field(fail_fast=True)] | None = Field(
        None, description="one object per model, with LiveKit's field names"
    )


class AgentHandoff(Event):
    when: ClassVar[str] = "another Agent takes over within the session"
    example: ClassVar[dict[str, Any]] = {"type": "agent_handoff", "old_agent": "Greeter", "new_agent": "Billing"}
    type: Literal["agent_handoff"]
    old_agent: Text | None = None
    new_agent: Text


class AgentConfigUpdate(Event):
    when: ClassVar[str] = "an agent starts with these tools and instructions, or they change"
    example: ClassVar[dict[str, Any]] = {"type": "agent_config_update", "tools_added": ["lookup_weather"]}
    type: Literal["agent_config_update"]
    tools_added: Annotated[list[str], Field(fail_fast=True)] | None = Field(None, description="names of tools")
    tools_removed: Annotated[list[str], Field(fail_fast=True)] | None = Field(None, description="names of tools")
    instructions: Text | None = Field(None, description="the new instructions, if the publisher chose to send them")
    instructions_changed: bool | None = Field(None, description="there are new instructions")


class AgentError(Event):
    when: ClassVar[str] = "something in the agent failed"
    example: ClassVar[dict[str, Any]] = {
        "type": "agent_error",
        "message": "the speech service did not answer",
        "source": "tts",
        "recoverable": True,
    }
    type: Literal["agent_error"]
    message: Text
    source: Text | None = Field(None, description="the part that failed: stt, llm, tts, vad, realtime, …")
    recoverable: bool | None = Field(None, description="the session continues")
    agent_id: AgentId = None


class AgentProcessStarted(Event):
    when: ClassVar[str] = "the launcher started an agent process"
    example: ClassVar[dict[str, Any]] = {"type": "agent_process_started", "agent": "ag_1", "pid": 4711}
    type: Literal["agent_process_started"]
    agent: Name
    pid: int = Field(ge=1)
    mode: Text | None = Field(None, description="worker, room, scripted or gateway")
    restarts: int | None = Field(None, ge=0, description="restarts after crashes so far")
    found: bool | None = Field(None, description="an earlier hub process started it")


class AgentProcessExited(Event):
    when: ClassVar[str] = "an agent process exited"
    example: ClassVar[dict[str, Any]] = {
        "type": "agent_process_exited",
        "agent": "ag_1",
        "code": 1,
        "reason": "crashed",
    }
    type: Literal["agent_process_exited"]
    agent: Name
    code: int | None = Field(None, description="exit code; negative: killed by that signal; null: unknown")
    reason: Text | None = Field(None, description="stopped, killed, finished, crashed, wrong settings or gone")
    status: Text | None = Field(None, description="the launcher's state for this agent from now on")
    error: Text | None = Field(None, description="why, in one sentence that says what to do")


class EventsDropped(Event):
    when: ClassVar[str] = "a publisher dropped events; they would have been here"
    example: ClassVar[dict[str, Any]] = {"type": "events_dropped", "count": 12, "reason": "queue_full"}
    type: Literal["events_dropped"]
    count: int = Field(ge=1, description="how many")
    reason: Text = Field(
        description="queue_full: the hub was unreachable for too long; too_large: larger than the hub accepts; refused: "
        "the hub rejected them; invalid: cannot be encoded as JSON"
    )


class LiveKitWebhook(Event):
    """`livekit_room_started`, `livekit_participant_joined`, `livekit_track_published`, …"""

    when: ClassVar[str] = "a webhook from LiveKit; one type per webhook event"
    example: ClassVar[dict[str, Any]] = {
        "type": "livekit_participant_joined",
        "room": "support-7",
        "participant": "caller_1",
        "participant_info": {"identity": "caller_1", "kind": 0},
    }
    participant_info: dict[str, Any] | None = Field(None, description="the webhook's participant, unchanged")
    track: dict[str, Any] | None = Field(None, description="the webhook's track, unchanged")
