"""Which usage belongs to which turn: what is assigned, what is not, and that both are all there is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.sessions.usage import MODELS

from .streams import Talk, events, told, whole

LLM = {"model_name": "gpt", "model_provider": "openai"}
TTS = {"model_name": "sonic", "model_provider": "cartesia"}


def llm(talk: Talk, speech: str | None, prompt: int, completion: int, **more: Any) -> Talk:
    fields = {"speech_id": speech, "prompt_tokens": prompt, "completion_tokens": completion, "metadata": LLM, **more}
    return talk("metrics_collected", metrics={"type": "llm_metrics", **fields})


def tts(talk: Talk, speech: str, characters: int) -> Talk:
    fields = {"speech_id": speech, "characters_count": characters, "audio_duration": characters / 10, "metadata": TTS}
    return talk("metrics_collected", metrics={"type": "tts_metrics", **fields})


def usage_of(talk: Talk) -> list[list[dict[str, Any]]]:
    return [turn.get("usage", []) for turn in talk.session().document()["turns"]]


def gpt(input: int, output: int, **more: int) -> dict[str, Any]:
    return {
        "type": "llm_usage",
        "provider": "openai",
        "model": "gpt",
        "input_tokens": input,
        "output_tokens": output,
        **more,
    }


def sonic(characters: int) -> dict[str, Any]:
    about = {"type": "tts_usage", "provider": "cartesia", "model": "sonic"}
    return {**about, "audio_duration": characters / 10, "characters_count": characters}


def test_the_requests_of_a_speech_belong_to_its_turn() -> None:
    talk = Talk()
    talk.user("What is the weather?", utterance="u1")
    llm(talk, "s1", 30, 3)  # before its words are known: it calls a tool
    talk("agent_speech_started", utterance="a1", speech_id="s1")
    llm(talk, "s1", 50, 9)
    tts(talk, "s1", 20)
    talk.agent("It is sunny.", utterance="a1")
    talk.user("And tomorrow?", utterance="u2")
    talk.said_aloud("Rain.", "a2")
    llm(talk, "s2", 70, 2, prompt_cached_tokens=64)
    talk("turn_metrics", role="agent", utterance="a2", speech_id="s2")
    tts(talk, "s1", 5)  # late
    assert usage_of(talk) == [[gpt(80, 12), sonic(25)], [gpt(70, 2, input_cached_tokens=64)]]
    assert talk.session().document()["unassigned"] == {"usage": []}


def test_what_names_no_speech_is_unassigned() -> None:
    talk = Talk().user("Hello", utterance="u1")
    stt = {"type": "stt_usage", "provider": "deepgram", "model": "nova", "audio_duration": 12.5}
    metrics = {"type": "stt_metrics", "audio_duration": 12.5, "metadata": {"model_name": "nova"}, "request_id": "q"}
    metrics["metadata"]["model_provider"] = "deepgram"  # type: ignore[index]
    talk("metrics_collected", metrics=metrics)
    llm(talk, None, 5, 5)
    llm(talk, "never said", 1, 2)
    talk("agent_speech_started", utterance="a1", speech_id="s1")
    llm(talk, "s1", 10, 1)
    talk("usage_updated", model_usage=[gpt(16, 8), stt])
    document = talk.session().document()
    assert [turn.get("usage") for turn in document["turns"]] == [[gpt(10, 1)]]
    assert document["unassigned"] == {"usage": [gpt(6, 7), stt]}
    assert document["usage"] == [gpt(16, 8), stt]


def test_a_reply_that_was_never_heard_belongs_to_the_question_it_answered() -> None:
    talk = Talk().user("Hello", utterance="u1")
    talk("metrics_collected", metrics={"type": "eou_metrics", "speech_id": "s1"})
    llm(talk, "s1", 10, 1)
    assert usage_of(talk) == [[gpt(10, 1)]]


def test_the_turn_of_an_utterance_counts_more_than_that_of_the_decision() -> None:
    talk = Talk().user("Hello", utterance="u1")
    talk("metrics_collected", metrics={"type": "eou_metrics", "speech_id": "s1"})
    llm(talk, "s1", 10, 1)
    talk.agent("Hi.", utterance="a1")
    talk.user("More", utterance="u2")
    talk("agent_speech_started", utterance="a2", speech_id="s1")
    talk("metrics_collected", metrics={"type": "eou_metrics", "speech_id": "s1"})
    assert usage_of(talk) == [[], [gpt(10, 1)]]


def test_what_was_written_ahead_belongs_to_the_turn_in_which_it_is_heard() -> None:
    talk = Talk().user("One", utterance="u1")
    talk("agent_text_complete", utterance="a1", text="Two.", speech_id="s1")
    llm(talk, "s1", 10, 1)
    talk("agent_state_changed", new_state="thinking")
    assert usage_of(talk) == [[gpt(10, 1)]]
    talk.user("Three", utterance="u2")
    talk("agent_speech_started", utterance="a1", speech_id="s1")
    assert usage_of(talk) == [[], [gpt(10, 1)]]


def test_the_response_of_a_realtime_model_belongs_to_the_turn_that_names_it() -> None:
    talk = Talk().user("Hello", utterance="u1")
    details = {
        "input_token_details": {
            "audio_tokens": 70, "text_tokens": 30, "cached_tokens": 64,
            "cached_tokens_details": {"audio_tokens": 60, "text_tokens": 4},
        },
        "output_token_details": {"audio_tokens": 40, "text_tokens": 10},
    }  # fmt: skip
    about = {"type": "realtime_model_metrics", "request_id": "resp_1", "metadata": LLM}
    talk("metrics_collected", metrics={**about, "input_tokens": 100, "output_tokens": 50, **details})
    talk.said_aloud("Hi.", "a1")
    talk("turn_metrics", role="agent", utterance="a1", provider_request_ids=["resp_1"])
    talk.user("Bye", utterance="u2")
    parts = {
        "input_audio_tokens": 70, "input_text_tokens": 30, "input_cached_tokens": 64, "input_cached_audio_tokens": 60,
        "input_cached_text_tokens": 4, "output_audio_tokens": 40, "output_text_tokens": 10,
    }  # fmt: skip
    assert usage_of(talk) == [[gpt(100, 50, **parts)], []]


def test_what_was_counted_makes_up_for_a_report_that_never_came() -> None:
    talk = Talk().user("Hello", utterance="u1")
    llm(talk, "s1", 10, 1)
    talk("usage_updated", model_usage=[{**gpt(10, 1), "their_own": "field"}, "odd"])
    llm(talk, "s1", 20, 0)
    tts(talk, "s1", 7)
    talk("agent_speech_started", utterance="a1", speech_id="s1")
    document = talk.session().document()
    assert document["usage"] == [{**gpt(30, 1), "their_own": "field"}, "odd", sonic(7)]
    assert document["unassigned"] == {"usage": []}
    assert talk.session().summary()["usage"] == document["usage"]
    assert told(talk.events).find("s")[0].usage == document["usage"]  # the list has the same as the document


@pytest.mark.parametrize(
    "metrics",
    [
        None, 7, [], {}, {"type": "vad_metrics"}, {"type": "llm_metrics"}, {"type": ["llm_metrics"]},
        {"type": "llm_metrics", "prompt_tokens": True}, {"type": "llm_metrics", "prompt_tokens": -3},
        {"type": "llm_metrics", "prompt_tokens": float("nan")}, {"type": "llm_metrics", "prompt_tokens": 10**400},
        {"type": "realtime_model_metrics", "input_token_details": 5}, {"type": "eou_metrics"},
    ],
)  # fmt: skip
def test_metrics_of_any_shape_use_nothing(metrics: Any) -> None:
    talk = Talk().user("Hello")("metrics_collected", metrics=metrics)
    assert talk.session().document()["usage"] == []


def test_models_and_turns_without_end_are_bounded() -> None:
    talk = Talk().user("Hello", utterance="u1")
    talk("agent_speech_started", utterance="a1", speech_id="s")
    for number in range(1000):
        llm(talk, "s", 1, 0, metadata={"model_name": f"m{number}"})
        llm(talk, f"lost {number}", 1, 0, metadata={"model_name": "m0"})
    talk("turn_metrics", utterance="a1", provider_request_ids=[f"lost {number}" for number in range(1000)])
    document = talk.session().document()
    assert len(document["usage"]) == len(document["turns"][0]["usage"]) == MODELS
    assert len(talk.session().turns.spending._ties) <= 256


_metrics = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["llm_metrics", "tts_metrics", "stt_metrics", "eou_metrics"]),
        "speech_id": st.sampled_from(["s1", "s2", "s3", None]),
        "prompt_tokens": st.integers(0, 50),
        "audio_duration": st.floats(0, 50),
        "characters_count": st.integers(0, 50),
        "metadata": st.sampled_from([LLM, TTS, None]),
    }
)
_used = st.one_of(
    st.fixed_dictionaries({"type": st.just("metrics_collected"), "metrics": _metrics}),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["agent_speech_started", "transcript"]),
            "text": st.just("yes"),
            "role": st.just("agent"),
            "utterance": st.sampled_from(["a1", "a2"]),
            "speech_id": st.sampled_from(["s1", "s2", "s3"]),
        }
    ),
    events(rooms=("r",), sessions=("s",)),
).map(lambda event: {"timestamp": 1, **event, "room": "r", "session": "s"})


@given(st.lists(_used, max_size=60))
def test_turns_and_the_rest_are_the_whole(stream: list[dict[str, Any]]) -> None:
    sessions = told(stream).find("s")
    if not sessions:
        return
    document = whole(stream, sessions[0]).document()
    sums: dict[tuple[Any, ...], float] = {}
    for used in [
        *(used for turn in document["turns"] for used in turn.get("usage", ())),
        *document["unassigned"]["usage"],
    ]:
        for field, value in used.items():
            if isinstance(value, int | float):
                key = used.get("type"), used.get("provider"), used.get("model"), field
                sums[key] = sums.get(key, 0) + value
    for used in document["usage"]:
        for field, value in used.items():
            if isinstance(value, int | float):
                found = sums.pop((used.get("type"), used.get("provider"), used.get("model"), field), 0)
                assert found == pytest.approx(value, abs=0.1)
    assert not sums
