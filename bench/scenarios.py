"""The scenarios to measure: each is one or more calls of the load generator on a freshly started server."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The size and duration of a run."""

    some: int
    """Number of subscribers where the design says 1000."""
    many: int
    """Number of subscribers and of rooms where the design says 10,000."""
    seconds: float
    """Publishing time of each call, without its warm-up of a second."""
    rounds: int


FULL = Scale(some=1000, many=10_000, seconds=5, rounds=3)
QUICK = Scale(some=1000, many=10_000, seconds=1, rounds=1)
"""As many subscribers as in a full run, so that its ratios can be compared with those of this one."""


@dataclass(frozen=True)
class Load:
    """One call of the load generator: its mode and flags. bench/README.md says what each measures."""

    name: str
    mode: str
    flags: tuple[str, ...]
    rooms: bool = False
    """Each subscriber watches one room."""
    one_channel: bool = False
    """Events go to one channel as fast as the server accepts them."""
    batch: bool = False
    replays: bool = False
    """Each subscriber asks for all events first."""


@dataclass(frozen=True)
class Scenario:
    """The loads to run, in this order, on one start of a server."""

    name: str
    loads: tuple[Load, ...]


def scenarios(scale: Scale) -> list[Scenario]:
    """All scenarios, in running order."""
    seconds = ("-seconds", f"{scale.seconds:g}")
    long = ("-seconds", f"{2 * scale.seconds:g}")

    def subscribers(count: int) -> tuple[str, ...]:
        return ("-subs", str(count))

    def post(name: str, connections: int, watching: int) -> Load:
        flags = ("-connections", str(connections), *subscribers(watching), *seconds)
        return Load(name, "post", flags, one_channel=watching > 0)

    lines = ("-content-type", "application/x-ndjson")
    many_rooms = (*subscribers(scale.many), "-rooms", str(scale.many))
    return [
        Scenario(
            "latency-some",
            (Load("latency-some", "latency", (*subscribers(scale.some), "-rate", "20", *long)),),
        ),
        Scenario(
            "latency-many",
            (Load("latency-many", "latency", (*subscribers(scale.many), "-rate", "5", *long)),),
        ),
        Scenario(
            "flatout",
            (
                Load("flatout", "flatout", (*subscribers(scale.some), *seconds), one_channel=True),
                Load(
                    "flatout-one",
                    "flatout",
                    ("-connections", "1", *subscribers(scale.some), *seconds),
                    one_channel=True,
                ),
            ),
        ),
        Scenario("idle", (Load("idle", "idle", subscribers(scale.many)),)),
        Scenario("storm", (Load("storm", "storm", (*subscribers(scale.many), "-rate", "2"), replays=True),)),
        Scenario(
            "post",
            (
                post("post-1", 1, 0),
                post("post-4", 4, 0),
                post("post-16", 16, 0),
                post("post-1-watched", 1, 10),
                post("post-16-watched", 16, 10),
            ),
        ),
        Scenario(
            "batch",
            (
                Load("batch-array", "batch", seconds, batch=True),
                Load("batch-lines", "batch", (*lines, *seconds), batch=True),
            ),
        ),
        Scenario(
            "sparse",
            (
                Load("sparse-many", "sparse", (*many_rooms, *seconds), rooms=True),
                Load("sparse-paced", "sparse", (*many_rooms, "-rate", "1000", *seconds), rooms=True),
                Load("sparse-one", "sparse", (*subscribers(1), "-rooms", "1", *seconds), rooms=True, one_channel=True),
            ),
        ),
    ]
