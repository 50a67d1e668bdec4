"""A streamed LLM over the vendor's own protocol: Gemini, chosen by settings (V07, X09)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from livekit.agents import Agent, APIConnectionError, APIConnectOptions, APIStatusError
from livekit.agents.llm import LLM, FunctionCallOutput
from livekit.agents.llm import FunctionCall as Call

from agent.failure import Failure
from agent.pipeline import Pipeline, make_llm
from agent.session import make_session

from ..livekit.openai_standin import STORY
from .asking import Reply, answered, asking, closing, get_weather
from .gemini_standin import GeminiStandin
from .plugins import ONCE, RETRIED, only, outside_a_job
from .server import KEY, Trouble

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
"""google-genai's own, about its HTTP client."""


@pytest.fixture
def gemini(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiStandin]:
    with GeminiStandin() as standin:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", standin.base_url)
        monkeypatch.setenv("GOOGLE_API_KEY", KEY)
        yield standin


def google(model: str = "") -> LLM[Any]:
    return make_llm(only("LLM", f"google/{model}" if model else "google"))


def test_gemini_answers_word_by_word(gemini: GeminiStandin) -> None:
    """V07: streamed, with usage, from the model that the settings name; the instructions arrive apart from the dialogue."""
    reply = outside_a_job(lambda: closing(google("gemini-3.5-flash"), asking("Tell me a story.")))
    assert reply.text.strip() == STORY
    assert len(reply.deltas) == len(STORY.split())
    assert reply.usage[-1].completion_tokens == len(STORY.split())
    [asked] = gemini.asked
    assert asked.path == "/v1/models/gemini-3.5-flash:streamGenerateContent"
    assert asked.headers["x-goog-api-key"] == KEY
    assert asked.body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert asked.body["contents"] == [{"role": "user", "parts": [{"text": "Tell me a story."}]}]


def test_the_default_model_is_a_current_one(gemini: GeminiStandin) -> None:
    """V07: LiveKit's plugin chooses it, as long as AGENT_LLM names none."""
    outside_a_job(lambda: closing(google(), asking("Hello.")))
    assert "gemini-3.8-flash" in gemini.asked[0].path


@pytest.mark.parametrize("model", ["gemini-3.8-flash", "gemini-2.5-flash"])
def test_gemini_calls_a_tool_and_uses_its_result(model: str, gemini: GeminiStandin) -> None:
    """The stand-in refuses a call without its thought signature, and a result without its call, as Gemini does."""

    async def scenario() -> tuple[Reply, Reply]:
        llm, context = google(model), asking("What is the weather in Oslo?")
        try:
            first = await answered(llm, context)
            [call] = first.calls
            context.items.append(Call(call_id=call.call_id, name=call.name, arguments=call.arguments))
            output = await get_weather(**json.loads(call.arguments))
            context.items.append(
                FunctionCallOutput(call_id=call.call_id, name=call.name, output=output, is_error=False)
            )
            return first, await answered(llm, context)
        finally:
            await llm.aclose()

    first, second = outside_a_job(scenario)
    assert (first.text, first.calls[0].name, json.loads(first.calls[0].arguments)) == (
        "",
        "get_weather",
        {"city": "Oslo"},
    )
    assert second.text.strip() == "I have looked it up. It is 7 degrees in Oslo."
    [declared] = gemini.asked[0].body["tools"][0]["functionDeclarations"]
    assert (declared["name"], declared["description"]) == ("get_weather", "The weather in a city.")


def test_a_conversation_with_gemini(gemini: GeminiStandin) -> None:
    """A session calls the tool itself, and keeps its context."""

    async def scenario() -> list[str]:
        llm = google()
        session = make_session(Pipeline(llm=llm))
        await session.start(Agent(instructions="Be brief.", tools=[get_weather]))
        try:
            run = await session.run(user_input="What is the weather in Oslo?")
            await session.run(user_input="Thank you.")
        finally:
            await session.aclose()
            await llm.aclose()
        return [event.type for event in run.events]

    assert outside_a_job(scenario) == ["function_call", "function_call_output", "message"]
    assert [content["role"] for content in gemini.asked[-1].body["contents"]] == [
        "user",
        "model",
        "user",
        "model",
        "user",
    ]


def test_geminis_key_under_its_other_name(gemini: GeminiStandin, monkeypatch: pytest.MonkeyPatch) -> None:
    """V41."""
    monkeypatch.delenv("GOOGLE_API_KEY")
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    assert outside_a_job(lambda: closing(google(), asking("Hello."))).text


def test_geminis_missing_key_is_named() -> None:
    """V41."""
    with pytest.raises(Failure, match="GOOGLE_API_KEY") as caught:
        google()
    assert caught.value.source == "llm"


def test_a_wrong_key_is_refused_once(gemini: GeminiStandin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "wrong")
    with pytest.raises(APIStatusError, match="API key not valid") as caught:
        outside_a_job(lambda: closing(google(), asking("Hello."), options=RETRIED))
    assert (caught.value.status_code, caught.value.retryable, len(gemini.asked)) == (400, False, 1)


def test_an_unknown_model_is_refused_once(gemini: GeminiStandin) -> None:
    with pytest.raises(APIStatusError, match="models/gemini-99 is not found") as caught:
        outside_a_job(lambda: closing(google("gemini-99"), asking("Hello."), options=RETRIED))
    assert (caught.value.status_code, len(gemini.asked)) == (404, 1)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_temporary_error_is_retried(status: int, gemini: GeminiStandin) -> None:
    gemini.trouble = Trouble(status=status)
    assert outside_a_job(lambda: closing(google(), asking("Hello."), options=RETRIED)).text
    assert len(gemini.asked) == 2


def test_a_reply_that_is_cut_off_is_an_error(gemini: GeminiStandin) -> None:
    """What came before it stays, and nothing is said twice."""
    gemini.trouble = Trouble(cut=True)
    reply = Reply()
    with pytest.raises(APIConnectionError) as caught:
        outside_a_job(lambda: closing(google(), asking("Tell me a story."), options=RETRIED, reply=reply))
    assert reply.deltas == ["Once ", "upon ", "a "]
    assert (caught.value.retryable, len(gemini.asked)) == (False, 1)


def test_a_model_that_does_not_answer_times_out(gemini: GeminiStandin) -> None:
    gemini.trouble = Trouble(stall=True)
    impatient = APIConnectOptions(max_retry=0, timeout=0.3)
    with pytest.raises(APIConnectionError):
        outside_a_job(lambda: closing(google(), asking("Hello."), options=impatient))


def test_a_reply_that_is_cancelled_ends_its_request(gemini: GeminiStandin) -> None:
    """The client leaves in the middle of an answer; the next request is not disturbed."""

    async def scenario() -> str:
        llm = google()
        try:
            stream = llm.chat(chat_ctx=asking("Tell me a story."), conn_options=ONCE)
            async for chunk in stream:
                if chunk.delta:
                    break
            await stream.aclose()
            return (await answered(llm, asking("Hello."))).text
        finally:
            await llm.aclose()

    assert outside_a_job(scenario).startswith("I have heard you say: Hello.")
