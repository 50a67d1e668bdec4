"""HUB_PRICES: what sessions cost (issue 18)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from event_hub.server.pricing import Prices
from event_hub.server.settings import Settings, SettingsError

MODELS = {
    "gpt-4.1-mini*": {"input": 0.4, "cached": 0.1, "output": 1.6},
    "gpt*": {"input": 2, "output": 8},
    "tts-1": {"characters": 15},
    "nova-3": {"minutes": 0.6},
    "half": {"output": 8},
    "rt": {"input": 4, "cached": 1, "output": 16, "audio_input": 32, "audio_cached": 2, "audio_output": 64},
    "rt-uncached": {"input": 4, "output": 16, "audio_input": 32, "audio_output": 64},
    "grok": {"minutes": 0.05},
    "v[45]?": {"input": 7},
}
PRICES = Prices.of({"currency": "EUR", "models": MODELS})


REALTIME = {
    "input_tokens": 100, "input_audio_tokens": 70, "input_text_tokens": 30, "input_cached_tokens": 40,
    "input_cached_audio_tokens": 30, "input_cached_text_tokens": 10, "output_tokens": 50, "output_audio_tokens": 45,
}  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "amount"),
    [
        ({"model": "gpt-4.1-mini", "input_tokens": 1_000_000, "output_tokens": 500_000}, 0.4 + 0.8),
        (
            {"model": "gpt-4.1-mini-2026", "input_tokens": 1_000_000, "input_cached_tokens": 400_000},
            0.6 * 0.4 + 0.4 * 0.1,
        ),
        ({"model": "gpt-9", "input_tokens": 1_000_000, "input_cached_tokens": 400_000}, 2),
        ({"model": "tts-1", "characters_count": 2000, "audio_duration": 60.0}, 0.03),
        ({"model": "nova-3", "audio_duration": 90.0}, 0.9),
        ({"model": "nova-3"}, 0),
        ({"model": "rt", **REALTIME}, (20 * 4 + 10 * 1 + 40 * 32 + 30 * 2 + 5 * 16 + 45 * 64) / 1e6),
        ({"model": "rt-uncached", **REALTIME}, (30 * 4 + 70 * 32 + 5 * 16 + 45 * 64) / 1e6),
        ({"model": "rt", "input_tokens": 3, "output_tokens": 2}, (3 * 4 + 2 * 16) / 1e6),
        # a provider that reports nonsense: more of a kind of token than tokens
        ({"model": "rt", "input_tokens": 3, "input_audio_tokens": 9, "input_cached_tokens": 9}, (3 * 32) / 1e6),
        ({"model": "grok", "session_duration": 90.0}, 0.075),
        ({"model": "v4x", "input_tokens": 1_000_000}, 7),
    ],
)
def test_usage_costs(usage: dict[str, Any], amount: float) -> None:
    assert PRICES.cost([usage]) == {"amount": pytest.approx(amount), "currency": "EUR", "unpriced": []}


@pytest.mark.parametrize(
    "usage",
    [
        {"model": "other", "input_tokens": 5},
        {"model": "half", "input_tokens": 9, "output_tokens": 1},
        {"model": "tts-1", "audio_duration": 5.0},
        {"model": "gpt-realtime", **REALTIME},
        {"model": "v6x", "input_tokens": 1},
        {"model": "v4xx", "input_tokens": 1},
        {},
    ],
)
def test_what_has_no_price_is_named(usage: dict[str, Any]) -> None:
    cost = PRICES.cost([usage, {"model": "nova-3", "audio_duration": 60}])
    assert cost == {"amount": 0.6, "currency": "EUR", "unpriced": [usage.get("model", "unknown")]}


def test_usage_of_any_shape_costs_nothing() -> None:
    odd = [
        7,
        None,
        {"model": 3},
        {"model": "gpt-9", "input_tokens": "many", "output_tokens": -4, "audio_duration": True},
    ]
    assert PRICES.cost(odd)["amount"] == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"), ("[]", "has no models"), ('{"models": []}', "has no models"),
        ('{"models": {"a": {}}}', "a has no prices"), ('{"models": {"a": {"tokens": 1}}}', "tokens is no unit"),
        ('{"models": {"a": {"input": "1"}}}', "not a number"), ('{"models": {"a": {"input": -1}}}', "not a number"),
        ('{"models": {"a": {"input": 1e308}}}', "not a number"),
        ('{"models": {}, "curency": "USD"}', "curency is not known"), ('{"models": {}, "currency": 5}', "currency is not"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_the_start(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=f"HUB_PRICES.*{says}"):
        Settings.load({"HUB_PRICES": str(path)}, None)
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.load({"HUB_PRICES": str(tmp_path / "none.json")}, None)


def test_every_mistake_is_named() -> None:
    models = {f"model-{number}": {"tokens": 1} for number in range(40)}
    with pytest.raises(ValueError, match="model-0: .*model-39: ") as caught:
        Prices.of({"currency": "", "models": models})
    assert str(caught.value).count("is no unit") == 40


def test_the_first_name_that_matches_counts() -> None:
    prices = Prices.of({"models": {"a[[]1]": {"input": 1}, "a": {"input": 2}, "*": {"input": 3}}})
    amounts = [
        prices.cost([{"model": model, "input_tokens": 1_000_000}])["amount"] for model in ("a[1]", "a", "b", "A")
    ]
    assert amounts == [1, 2, 3, 3]


def test_the_costs_of_turns_and_of_the_rest_are_that_of_the_session() -> None:
    def gpt(input: int, output: int) -> dict[str, Any]:
        return {"type": "llm_usage", "model": "gpt-4.1-mini", "input_tokens": input, "output_tokens": output}

    half = {"type": "llm_usage", "model": "half"}
    session = [
        gpt(1_003, 77),
        {**half, "input_tokens": 5, "output_tokens": 9},
        {"model": "nova-3", "audio_duration": 7.5},
    ]
    turns = [[gpt(1, 1)], [gpt(1_000, 70), {**half, "output_tokens": 9}], []]
    rest = [gpt(2, 6), {**half, "input_tokens": 5}, {"model": "nova-3", "audio_duration": 7.5}]
    costs = PRICES.of_turns(session)
    found = [costs(turn) for turn in turns]
    assert [cost["unpriced"] for cost in found] == [[], ["half"], []]
    assert found[0]["amount"] == pytest.approx(2e-6, abs=1e-9)
    left = costs.rest(rest)
    assert left["unpriced"] == ["half"]
    assert left["amount"] == pytest.approx(2 * 0.4e-6 + 6 * 1.6e-6 + 0.075, abs=1e-9)
    total = PRICES.cost(session)
    assert sum(cost["amount"] for cost in [*found, left]) == pytest.approx(total["amount"], abs=1e-9)


def test_the_example_in_the_docs_is_right() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    block = next(part for part in docs.split("```") if '"models"' in part)
    assert (
        Prices.of(json.loads(block.removeprefix("json"))).cost([{"model": "tts-1", "characters_count": 1}])["amount"]
        > 0
    )
