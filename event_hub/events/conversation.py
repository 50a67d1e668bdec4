"""What is said and heard: transcripts, streaming text, audible speech."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from .envelope import Epoch, Event, Seconds, SpeechId, Text

ItemId = Annotated[Text | None, Field(description="LiveKit's id of the conversation item or realtime input item")]


class Transcript(Event):
    when: ClassVar[str] = "user: interim and final transcripts; agent: what was actually said, once playback ends"
    example: ClassVar[dict[str, Any]] = {
        "type": "transcript",
        "text": "What is the weather in Oslo?",
        "participant": "caller_1",
        "role": "user",
        "final": True,
        "utterance": "u1",
        "began": 1695123454.2,
    }
    type: Literal["transcript"]
    text: Text
    final: bool | None = Field(
        None,
        description="false for an interim transcript; if missing, the transcript is final. A final transcript without "
        "text withdraws the interims of its utterance",
    )
    began: Epoch | None = Field(
        None, description="when the utterance began, in epoch seconds; the transcript itself may arrive much later"
    )
    interrupted: bool | None = Field(None, description="the user cut the agent off here")
    typed: bool | None = Field(None, description="the user typed it")
    item_id: ItemId = None
    speaker_id: Any = Field(None, description="which speaker, if the STT tells several apart")
    language: Any = Field(None, description="the language that the STT recognized")
    speech_id: SpeechId = None


class UserTurnCompleted(Event):
    when: ClassVar[str] = (
        "the user's spoken turn was added to the conversation; `text` is what the LLM gets, including any change that "
        "the agent's `on_user_turn_completed` made"
    )
    example: ClassVar[dict[str, Any]] = {
        "type": "user_turn_completed",
        "text": "What is the weather in Oslo?",
        "role": "user",
        "utterance": "u1",
        "item_id": "item_3f9a",
        "transcript_confidence": 0.96,
    }
    type: Literal["user_turn_completed"]
    text: Text
    item_id: ItemId = None
    transcript_confidence: float | None = Field(None, ge=0, description="the STT's confidence, from 0 to 1")
    began: Epoch | None = Field(None, description="when the user began to speak, in epoch seconds")


class UserTranscriptionTimeout(Event):
    when: ClassVar[str] = "the user was heard to speak, but the STT recognized nothing"
    example: ClassVar[dict[str, Any]] = {
        "type": "user_transcription_timeout",
        "speech_duration": 0.8,
        "vad_speech_started_at": 1695123454.2,
    }
    type: Literal["user_transcription_timeout"]
    speech_duration: Seconds | None = Field(None, description="seconds of speech that the VAD detected")
    vad_speech_started_at: Epoch | None = Field(None, description="when the VAD first detected it, in epoch seconds")


Source = Annotated[
    Text | None,
    Field(
        description="where the text was read: `transcription` (the session's output) or `llm` (the model's raw text)"
    ),
]


class AgentTextDelta(Event):
    when: ClassVar[str] = "a piece of the agent's text, as the LLM streams it"
    example: ClassVar[dict[str, Any]] = {"type": "agent_text_delta", "delta": " sunny", "offset": 5, "utterance": "a1"}
    type: Literal["agent_text_delta"]
    delta: Text
    offset: int | None = Field(None, ge=0, description="characters before this delta, so that a missing one is noticed")
    source: Source = None


class AgentTextComplete(Event):
    when: ClassVar[str] = "the agent's text is complete, though not yet said"
    example: ClassVar[dict[str, Any]] = {"type": "agent_text_complete", "text": "It is sunny.", "utterance": "a1"}
    type: Literal["agent_text_complete"]
    text: Text
    source: Source = None
    speech_id: SpeechId = None


class AgentTextUnsaid(Event):
    when: ClassVar[str] = "a reply was written and never said; its words are in `generated`"
    example: ClassVar[dict[str, Any]] = {
        "type": "agent_text_unsaid",
        "generated": "It is sunny.",
        "utterance": "a1",
        "source": "transcription",
    }
    type: Literal["agent_text_unsaid"]
    generated: Text = Field(description="the text that was written")
    source: Source = None
    speech_id: SpeechId = None


class AgentSpeechStarted(Event):
    when: ClassVar[str] = "the agent becomes audible; one started/finished pair per reply"
    example: ClassVar[dict[str, Any]] = {"type": "agent_speech_started", "utterance": "a1"}
    type: Literal["agent_speech_started"]
    speech_id: SpeechId = None


class AgentSpeechFinished(Event):
    when: ClassVar[str] = "the reply ended or was cut off; not sent for a false interruption that is resumed"
    example: ClassVar[dict[str, Any]] = {
        "type": "agent_speech_finished",
        "utterance": "a1",
        "interrupted": False,
        "position": 2.4,
    }
    type: Literal["agent_speech_finished"]
    interrupted: bool | None = Field(None, description="the user cut the agent off")
    position: Seconds | None = Field(None, description="seconds of audio that were heard; 0 if none was")


class UserSpeechStarted(Event):
    when: ClassVar[str] = "the user starts to speak"
    example: ClassVar[dict[str, Any]] = {"type": "user_speech_started", "participant": "caller_1"}
    type: Literal["user_speech_started"]


class UserSpeechFinished(Event):
    when: ClassVar[str] = "the user stops speaking"
    example: ClassVar[dict[str, Any]] = {"type": "user_speech_finished", "participant": "caller_1"}
    type: Literal["user_speech_finished"]


class AgentFalseInterruption(Event):
    when: ClassVar[str] = "a suspected interruption turned out not to be one"
    example: ClassVar[dict[str, Any]] = {"type": "agent_false_interruption", "resumed": True}
    type: Literal["agent_false_interruption"]
    resumed: bool = Field(description="the agent continues its reply")


class OverlappingSpeech(Event):
    when: ClassVar[str] = "the user spoke while the agent did (adaptive interruption handling only)"
    example: ClassVar[dict[str, Any]] = {
        "type": "overlapping_speech",
        "is_interruption": False,
        "probability": 0.21,
        "detection_delay": 0.35,
    }
    type: Literal["overlapping_speech"]
    is_interruption: bool = Field(description='it was an interruption, not a backchannel such as "mm-hmm"')
    agent_ended: bool | None = Field(None, description="the agent finished first, so the verdict is inconclusive")
    probability: float | None = Field(None, ge=0, description="the estimated probability of an interruption")
    overlap_started_at: Epoch | None = Field(None, description="when the overlap began, in epoch seconds")
    detected_at: Epoch | None = Field(None, description="when it was detected, in epoch seconds")
    detection_delay: Seconds | None = Field(None, description="onset of the speech → prediction")
    prediction_duration: Seconds | None = Field(None, description="time in the model")
    total_duration: Seconds | None = Field(None, description="round trip of the request")
    num_requests: int | None = Field(None, ge=0, description="requests sent for this event")


class SpeechCreated(Event):
    when: ClassVar[str] = "the agent is about to say something; LiveKit created a SpeechHandle"
    example: ClassVar[dict[str, Any]] = {
        "type": "speech_created",
        "source": "generate_reply",
        "user_initiated": False,
        "speech_id": "speech_3f9a",
    }
    type: Literal["speech_created"]
    source: Text = Field(description="say or generate_reply")
    user_initiated: bool | None = Field(
        None, description="the agent's own code asked for it with `say` or `generate_reply`"
    )
    speech_id: Text | None = Field(None, description="the SpeechHandle's id; `metrics_collected` refers to it")


class SipDtmfReceived(Event):
    when: ClassVar[str] = "a caller pressed a key on the telephone (DTMF)"
    example: ClassVar[dict[str, Any]] = {"type": "sip_dtmf_received", "digit": "5", "code": 5, "participant": "sip_47"}
    type: Literal["sip_dtmf_received"]
    digit: Text = Field(description="0–9, *, # or A–D")
    code: int | None = Field(None, ge=0, description="the DTMF code")
