"""Run the examples in docs/client.md and in the client's docstrings against a real hub."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import event_hub.client

from ..hubs import ROOT, HubProcess

MODULES = [
    importlib.import_module(f"event_hub.client.{found.name}")
    for found in pkgutil.iter_modules(event_hub.client.__path__)
]


@pytest.fixture(autouse=True)
def _default_hub(hub: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_URL", hub.url)
    monkeypatch.delenv("HUB_KEY", raising=False)


def run(tests: list[doctest.DocTest]) -> int:
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST | doctest.IGNORE_EXCEPTION_DETAIL)
    lines: list[str] = []
    for test in tests:
        runner.run(test, out=lines.append)
    assert runner.failures == 0, "".join(lines)
    return runner.tries


def test_the_page() -> None:
    text = (ROOT / "docs" / "client.md").read_text()
    test = doctest.DocTestParser().get_doctest(text, {}, "docs/client.md", "docs/client.md", 0)
    assert run([test]) == text.count("\n>>> ")
    assert text.count("```python\n>>> ") == text.count("```python")  # every block is an example


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_docstrings(module: ModuleType) -> None:
    names = {name: getattr(event_hub.client, name) for name in event_hub.client.__all__}
    run(doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names))


def test_every_public_name_has_a_docstring_and_is_on_the_page() -> None:
    text = (ROOT / "docs" / "client.md").read_text()
    for name in event_hub.client.__all__:
        public = getattr(event_hub.client, name)
        assert public.__doc__, name
        assert name in text or name in ("Posted", "Stats", "Subscription"), name
        for attribute, value in vars(public).items() if isinstance(public, type) else ():
            if callable(value) and not attribute.startswith("_"):
                assert value.__doc__, f"{name}.{attribute}"
