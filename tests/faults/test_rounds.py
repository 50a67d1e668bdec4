"""One round of each kind of fault, those of a shared history in turn on the same hubs; `make faults` runs as many as one likes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from .rounds.kinds import KINDS, SHARED, WORKERS
from .rounds.problems import Skipped
from .rounds.run import play
from .rounds.scene import Store


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {*SHARED, *WORKERS}])
def test_nothing_acknowledged_is_lost_or_doubled(kind: str, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"make faults ARGS='--only {kind} --seed {seed} --rounds 1'")
    try:
        outcome = play(kind, seed, Store(), tmp_path, brief=True)
    except Skipped as skipped:
        if os.environ.get("CI") == "true":
            pytest.fail(str(skipped))
        pytest.skip(str(skipped))
    assert outcome.events > 0
