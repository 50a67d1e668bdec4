"""What one event costs, as `python -m bench.workers --save` measured it: the input of `bench.simulate`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class ServiceTimes:
    """Seconds of processor time, and what they are checked against."""

    post: float
    """A POST of one event, in the hub, with everything but deliveries."""
    flush: float
    """An event's first delivery, in each process that has a subscriber of it, besides what follows for each."""
    delivery: float
    """An event sent to one subscriber, in the hub."""
    follow: float
    """An event that another process has stored, in the hub."""
    append: float
    """An event stored, in Valkey, with one process that follows."""
    read: float
    """An event read by one more process that follows, in Valkey."""
    measured_rooms: dict[str, float]
    """Number of workers → events a second that a hub reached with `rooms` rooms of one subscriber."""
    measured_shares: dict[str, float]
    """Number of workers → the part of a core that each of them got meanwhile."""
    publishers: int
    """Connections that posted meanwhile, each of which waits for its answer."""
    rooms: int
    machine: str
    date: str

    def save(self, file: Path = FILE) -> None:
        """Write them."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, file: Path = FILE) -> ServiceTimes:
        """Those of the last run with `--save`."""
        return cls(**json.loads(file.read_text()))
