"""What sessions cost, by the prices in HUB_PRICES. Pure, but for reading the file.

    {"currency": "USD", "models": {
        "gpt-4.1-mini*": {"input": 0.40, "cached": 0.10, "output": 1.60},
        "tts-1": {"characters": 15},
        "nova-3": {"minutes": 0.0043}}}

Prices are for a million tokens or characters, and for a minute of audio. The first model that matches counts; `*` matches
any text, `?` any character, `[ab]` one of these.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Mapping
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

UNITS = (
    "input", "cached", "output", "audio_input", "audio_cached", "audio_output", "characters", "minutes",
)  # fmt: skip
_INSTEAD = {"cached": "input", "audio_cached": "audio_input"}
"""The unit that counts for one without a price: a cached token costs no more than another."""
_TOKENS = UNITS[:6]
_WILDCARD = re.compile(r"[*?[]")
_REMEMBERED = 1024
"""Models whose prices are remembered, so that a long list is not searched for each turn."""
Key = tuple[str, str, str]
"""Type, provider and model of a usage."""
_MILLION = 1e6
_DIGITS = 9
"""Decimals of an amount: a turn can cost a thousandth of a cent, and thousands of them have to add up."""
_MOST = 1_000_000
"""The largest price: more is a mistake, and could not be added up."""
_LARGEST = 1 << 20


class Prices:
    """The prices of models. `of_file` reads them."""

    def __init__(self, currency: str, models: Mapping[str, Mapping[str, float]]) -> None:
        self.currency = currency
        self._models = [
            (re.compile(translate(name)).match if _WILDCARD.search(name) else name.__eq__, prices)
            for name, prices in models.items()
        ]
        self._prices_of = lru_cache(_REMEMBERED)(self._first)

    @classmethod
    def of_file(cls, path: str) -> Prices:
        """The prices in a file; raises ValueError, with a sentence for the operator that names every mistake."""
        try:
            if Path(path).stat().st_size > _LARGEST:
                raise ValueError("is larger than 1 MiB")
            value = msgspec.json.decode(Path(path).read_bytes())
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"is not JSON: {error}") from None
        return cls.of(value)

    @classmethod
    def of(cls, value: Any) -> Prices:
        """The prices in a decoded file; raises ValueError."""
        if not isinstance(value, dict) or not isinstance(value.get("models"), dict):
            raise ValueError(
                'has no models: write {"currency": "USD", "models": {"gpt-4.1*": {"input": 2, "output": 8}}}'
            )
        wrong = [f"{name} is not known here" for name in value if name not in ("currency", "models")]
        currency = value.get("currency", "USD")
        if not isinstance(currency, str) or not 0 < len(currency) <= 8:
            wrong.append("currency is not a short name such as USD")
        for model, prices in value["models"].items():
            if not isinstance(prices, dict) or not prices:
                wrong.append(f"{model[:64]} has no prices: {', '.join(UNITS)}")
                continue
            for unit, price in prices.items():
                if unit not in UNITS:
                    wrong.append(f"{model[:64]}: {unit[:32]} is no unit: {', '.join(UNITS)}")
                elif not isinstance(price, int | float) or isinstance(price, bool) or not 0 <= price <= _MOST:
                    wrong.append(f"{model[:64]}: the price of {unit} is not a number from 0 to {_MOST:,}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return cls(currency, value["models"])

    def cost(self, usage: Iterable[Any], left_out: Container[Key] | None = None) -> dict[str, Any]:
        """What LiveKit's usage of models costs: `amount` in `currency`, and the models that have no price, which are not
        part of it. `left_out`: those of the whole, of which `usage` is a part; they are not part of this either."""
        amount = 0.0
        unpriced: list[str] = []
        for one in usage:
            if not isinstance(one, dict):
                continue
            if left_out is None:
                found = self._of_model(one)
            else:
                found = None if _key_of(one) in left_out else self._of_model(one, part=True)
            if found is None:
                unpriced.append(str(one.get("model") or "unknown")[:128])
            else:
                amount += found
        return {"amount": round(amount, _DIGITS), "currency": self.currency, "unpriced": sorted(set(unpriced))}

    def total(self, costs: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The sum of several."""
        amount, unpriced = 0.0, set()
        for cost in costs:
            amount += cost["amount"]
            unpriced.update(cost["unpriced"])
        return {"amount": round(amount, _DIGITS), "currency": self.currency, "unpriced": sorted(unpriced)}

    def of_turns(self, usage: list[Any]) -> TurnCosts:
        """The costs of the turns of a session with this usage."""
        return TurnCosts(self, usage)

    def unpriced(self, usage: Iterable[Any]) -> set[Key]:
        """The models of this usage that have no price, or not all the prices that they need."""
        return {_key_of(one) for one in usage if isinstance(one, dict) and self._of_model(one) is None}

    def _first(self, model: str) -> Mapping[str, float] | None:
        return next((prices for matches, prices in self._models if matches(model)), None)

    def _of_model(self, usage: dict[str, Any], part: bool = False) -> float | None:
        """What the usage of one model costs; None if not all of it has a price. `part`: of a usage that has one."""
        model = usage.get("model")
        if not isinstance(model, str):
            return None
        prices = self._prices_of(model)
        if prices is None:
            return None
        amounts = _amounts(usage)
        for unit, instead in _INSTEAD.items():
            if unit not in prices:
                amounts[instead] += amounts.pop(unit)
        if any(amounts.get(unit) and unit not in prices for unit in _TOKENS):
            return None  # some tokens that were used have no price
        if not part and not any(amounts.get(unit) for unit in prices) and any(amounts.values()):
            return None  # what was used is not what has a price
        return math.fsum(price * amounts.get(unit, 0.0) for unit, price in prices.items())


def _amounts(usage: Mapping[str, Any]) -> dict[str, float]:
    """What was used, by unit. LiveKit counts audio tokens and cached tokens as part of all tokens."""

    def tokens(name: str, most: float = math.inf) -> float:
        return min(_number(usage, f"{name}_tokens"), most)

    input, output = tokens("input"), tokens("output")
    audio, audio_output = tokens("input_audio", input), tokens("output_audio", output)
    cached = tokens("input_cached", input)
    audio_cached = tokens("input_cached_audio", min(audio, cached))
    cached_text = min(cached - audio_cached, input - audio)
    by_unit = {
        "input": input - audio - cached_text,
        "cached": cached_text,
        "output": output - audio_output,
        "audio_input": audio - audio_cached,
        "audio_cached": audio_cached,
        "audio_output": audio_output,
        "characters": _number(usage, "characters_count"),
    }
    millions = {unit: amount / _MILLION for unit, amount in by_unit.items()}
    seconds = _number(usage, "audio_duration") + _number(usage, "session_duration")
    return {**millions, "minutes": seconds / 60}


class TurnCosts:
    """The costs of the turns of one session: call it with the usage of each turn, then ask for `rest`. They add up to the
    session's cost, so a model that is not part of that is not part of them either."""

    def __init__(self, prices: Prices, usage: list[Any]) -> None:
        self._prices = prices
        self._left_out = prices.unpriced(usage)
        self._left: float = prices.cost(usage)["amount"]

    def __call__(self, usage: list[Any]) -> dict[str, Any]:
        cost = self._prices.cost(usage, self._left_out)
        self._left -= cost["amount"]
        return cost

    def rest(self, usage: list[Any]) -> dict[str, Any]:
        """The cost of what belongs to no turn."""
        return {**self._prices.cost(usage, self._left_out), "amount": max(0.0, round(self._left, _DIGITS))}


def _key_of(usage: Mapping[str, Any]) -> Key:
    return str(usage.get("type")), str(usage.get("provider")), str(usage.get("model"))


def _number(usage: Mapping[str, Any], name: str) -> float:
    value = usage.get(name)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
    return float(value) if fits and value is not None else 0.0
