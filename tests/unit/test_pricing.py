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
}
PRICES = Prices.of({"currency": "EUR", "models": MODELS})


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
