"""The scene of a round: hubs, publishers and subscribers, and the checks after the fault."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ...hubs import PATIENCE, HubProcess, until
from .problems import RoundFailed
from .proxy import Network, Proxy
from .publishers import Publisher
from .records import Record, history_problems, stream_problems
from .resources import Resources, children, observed
from .subscribers import Subscriber

HEARTBEAT = 1.0
"""Seconds; a subscriber gives up a connection after three."""
SETTLED = 10
"""Events that each publisher must get acknowledged after the fault."""


@dataclass(frozen=True)
class Store:
    """Where the hubs of a round keep their history: SQLite in the round's folder, unless `environ` names another. Only a
    history that processes share can have more than one hub. In the settings of `environ`, `{round}` is a name of the
    round's own: rounds run side by side."""

    environ: Mapping[str, str] = field(default_factory=dict)
    hubs: int = 1

    def settings(self, folder: Path) -> dict[str, str]:
        """For the hubs of the round in `folder`."""
        chosen = {name: value.replace("{round}", folder.name) for name, value in self.environ.items()}
        return {"HUB_HISTORY": f"sqlite:///{folder}/hub.db", **chosen}


class Scene:
    """One round. A fault uses `hubs`, `rng`, `publishers`, `subscribers`, `through` and `progress`."""

    def __init__(
        self,
        folder: Path,
        seed: str,
        store: Store,
        *,
        environ: dict[str, str],
        size: int,
        lasting: Resources,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.publishers: list[Publisher] = []
        self.subscribers: list[Subscriber] = []
        self.proxies: list[Proxy] = []
        self.problems: list[str] = []
        self.history: list[Record] = []
        self._size = size
        self._lasting = lasting
        self._seed = seed
        settings = {
            "HUB_HEARTBEAT": f"{HEARTBEAT:g}s",
            "HUB_STALL": "4s",
            "HUB_AUTH": "open",
            **store.settings(folder),
            **environ,
        }
        self.hubs: list[HubProcess] = []
        for number in range(store.hubs):
            place = folder / f"hub{number}"
            place.mkdir()
            self.hubs.append(HubProcess(place, **options, **observed(settings, place)))
        self._baselines: list[Resources] = []

    @property
    def hub(self) -> HubProcess:
        return self.hubs[0]

    def ports(self) -> list[int]:
        return [hub.port for hub in self.hubs]

    def count(self) -> int:
        """Subscribers of all hubs."""
        return sum(hub.count() for hub in self.hubs)

    # -- the cast ----------------------------------------------------------------------------------------------------

    def publish(self, ports: Callable[[], list[int]] | None = None, *, pause: float = 0.004) -> Publisher:
        """Start a publisher, at any hub unless `ports` says which."""
        name = f"p{len(self.publishers)}"
        publisher = Publisher(name, ports or self.ports, f"{self._seed}-{name}", pause=pause, size=self._size)
        self.publishers.append(publisher)
        publisher.start()
        return publisher

    def subscribe(self, ports: Callable[[], list[int]] | None = None, **options: Any) -> Subscriber:
        """Start a subscriber from the oldest event."""
        name = f"s{len(self.subscribers)}"
        options = {"silence": 3 * HEARTBEAT, **options}
        subscriber = Subscriber(name, ports or self.ports, f"{self._seed}-{name}", **options)
        self.subscribers.append(subscriber)
        subscriber.start()
        return subscriber

    def through(self, network: Network, hub: HubProcess | None = None) -> Callable[[], list[int]]:
        """The `ports` of a new proxy in front of a hub."""
        proxy = Proxy((hub or self.hub).port, f"{self._seed}-proxy{len(self.proxies)}", network)
        proxy.__enter__()
        self.proxies.append(proxy)
        return lambda: [proxy.port]

    def progress(self, events: int | None = None, patience: float = PATIENCE) -> None:
        """Wait until every publisher has had more events acknowledged."""
        wanted = [len(p.acknowledged) + (events or self.rng.randrange(3, 30)) for p in self.publishers]
        self.wait(
            lambda: all(len(p.acknowledged) >= number for p, number in zip(self.publishers, wanted, strict=True)),
            "acknowledgements",
            patience,
        )

    def wait(self, condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> None:
        """Wait for a condition, unless a publisher or subscriber has found a problem."""

        def met() -> Any:
            problems = [problem for thread in (*self.publishers, *self.subscribers) for problem in thread.problems]
            if problems:
                raise RoundFailed("\n".join(problems))
            return condition()

        until(met, what, patience)

    def pause(self, most: float = 0.3) -> None:
        """Let the fault hit at a random moment."""
        time.sleep(self.rng.uniform(0, most))

    # -- the course of a round ---------------------------------------------------------------------------------------

    def start(self) -> None:
        for hub in self.hubs:
            hub.launch()
        for hub in self.hubs:
            hub.wait_ready()
        for hub in self.hubs:
            self._warm_up(hub)
        self._baselines = [Resources.of(hub) + self._lasting for hub in self.hubs]
        for _ in range(2):
            self.publish()
        self.subscribe()
        self.subscribe(kind="n")
        self.subscribe(slow=0.05)
        self.progress(5)

    @staticmethod
    def _warm_up(hub: HubProcess) -> None:
        """Use once what loads or opens something at its first use."""
        hub.publish({"type": "warm_up"})
        hub.publish([])
        with hub.stream("?since=all") as stream:
            stream.until("warm_up")
            hub.get("/api/events?limit=1")
        hub.metrics()
        hub.wait_count(0)

    def check(self) -> None:
        """After the fault: publish some more, end everything, and compare. Raises RoundFailed."""
        self.progress(SETTLED)
        for publisher in self.publishers:
            publisher.finish()
        self.history = self._read(self.hub)
        for other in self.hubs[1:]:
            if self._read(other) != self.history:
                self.problems.append(f"the hubs at {self.hub.port} and {other.port} show different histories")
        self._compare()
        self._close()
        for hub, baseline in zip(self.hubs, self._baselines, strict=True):
            self._released(hub, baseline)
        for hub in self.hubs:
            self._ended(hub)
        if self.problems:
            raise RoundFailed("\n".join(self.problems))

    def _read(self, hub: HubProcess) -> list[Record]:
        records: list[Record] = []
        after = f"{hub.get('/api/health')['cursor'].partition('-')[0]}-0"
        while True:
            page = hub.get("/api/events", params={"after": after, "limit": 1000})
            if page.get("gap"):
                self.problems.append(f"a gap in the history: {page['gap']}")
            records += [Record.of(item["id"], item["event"]) for item in page["events"]]
            if not page["more"]:
                return records
            after = page["after"]

    def _compare(self) -> None:
        acknowledged = {key: cursor for publisher in self.publishers for key, cursor in publisher.acknowledged.items()}
        self.problems += [problem for publisher in self.publishers for problem in publisher.problems]
        self.problems += history_problems(self.history, acknowledged, [p.order for p in self.publishers])
        head = self.history[-1].cursor.offset
        for subscriber in self.subscribers:
            subscriber.hurry()
        for subscriber in self.subscribers:
            # With a filter, the heartbeat after the last match brings it to the head.
            try:
                until(lambda s=subscriber: s.reached >= head or s.problems, "the head", 2 * PATIENCE)
            except AssertionError:
                self.problems.append(f"{subscriber.name} reached {subscriber.reached} of {head}")
        for subscriber in self.subscribers:
            found = stream_problems(self.history, list(subscriber.seen), subscriber.matches, bool(subscriber.kind))
            self.problems += subscriber.problems + [f"{subscriber.name}: {problem}" for problem in found]

    def _released(self, hub: HubProcess, baseline: Resources) -> None:
        """The hub must give back what it held for its clients."""
        more: list[str] = []

        def released() -> bool:
            more[:] = Resources.of(hub).beyond(baseline)
            subscribers = hub.count()
            if subscribers:
                more.append(f"{subscribers} subscribers")
            return not more

        try:
            until(released, "the hub to release what it held")
        except AssertionError:
            self.problems.append(f"leaked: {', '.join(more)}")

    def _ended(self, hub: HubProcess) -> None:
        """The hub must end in order, with all its processes."""
        assert hub.process is not None
        group = [psutil.Process(pid) for pid in (hub.worker_pid(), *children(hub))]
        code = hub.terminate()
        if code:
            self.problems.append(f"the hub ended with {code}: {hub.output()[-2000:]}")
        try:
            until(lambda: not any(process.is_running() for process in group), "its processes to end")
        except AssertionError:
            self.problems.append(f"processes left: {[process for process in group if process.is_running()]}")
        if "Traceback" in hub.output():
            self.problems.append(f"a traceback in the hub's log: {hub.output()[-3000:]}")

    def _close(self) -> None:
        for publisher in self.publishers:
            publisher.finish()
        for subscriber in self.subscribers:
            subscriber.finish()
        for proxy in self.proxies:
            proxy.__exit__()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        for hub in self.hubs:
            if hub.process is not None:
                hub.kill()
