"""What sessions cost, by the prices in HUB_PRICES. Pure, but for reading the file.

    {"currency": "USD", "models": {
        "gpt-4.1-mini*": {"input": 0.40, "cached": 0.10, "output": 1.60},
        "tts-1": {"characters": 15},
        "nova-3": {"minutes": 0.0043}}}

Prices are for a million tokens or characters, and for a minute of audio. The first model that matches counts; `*` matches
any text.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

UNITS = ("input", "cached", "output", "characters", "minutes")
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
        self._models = tuple(models.items())

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
            raise ValueError("; ".join(wrong[:10]))
        return cls(currency, value["models"])

    def cost(self, usage: Iterable[Any], leave_out: Container[Key] = ()) -> dict[str, Any]:
        """What LiveKit's usage of models costs: `amount` in `currency`, and the models that have no price, which are not
        part of it. `leave_out`: models that count as such too."""
        amount = 0.0
        unpriced: list[str] = []
        for one in usage:
            if not isinstance(one, dict):
                continue
            found = None if _key_of(one) in leave_out else self._of_model(one)
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

    def _of_model(self, usage: dict[str, Any]) -> float | None:
        model = usage.get("model")
        if not isinstance(model, str):
            return None
        prices = next((prices for glob, prices in self._models if fnmatchcase(model, glob)), None)
        if prices is None:
            return None
        whole, cached, output = (_number(usage, f"{name}_tokens") for name in ("input", "input_cached", "output"))
        amounts = {
            "input": max(0.0, whole - cached) / _MILLION,
            "cached": min(cached, whole) / _MILLION,
            "output": output / _MILLION,
            "characters": _number(usage, "characters_count") / _MILLION,
            "minutes": _number(usage, "audio_duration") / 60,
        }
        if "cached" not in prices and "input" in prices:
            amounts["input"] += amounts.pop("cached")
        by_token = [unit for unit in ("input", "cached", "output") if amounts.get(unit)]
        if any(unit not in prices for unit in by_token):
            return None  # part of what was used has no price
        if not any(amounts.get(unit) for unit in prices) and any(amounts.values()):
            return None  # what was used is not what has a price
        return math.fsum(price * amounts.get(unit, 0.0) for unit, price in prices.items())


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
