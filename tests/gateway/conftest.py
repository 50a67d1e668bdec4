"""A gateway that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..conftest import outliving
from .gateways import GatewayProcess


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with its defaults: local speech, a scripted LLM, no hub."""
    with outliving() as keep, GatewayProcess(tmp_path_factory.mktemp("gateway")) as process:
        process.ready()
        keep()
        yield process
