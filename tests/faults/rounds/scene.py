"""The scene of a round: hubs, publishers and subscribers, and the checks after the fault."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import psutil
import requests

from event_hub.sse import Cursor

from ...hubs import PATIENCE, HubProcess, until
from ...valkeys import ValkeyServer
from .losses import lost_without_reason, stream_problems_after_loss
from .place import Place
from .problems import RoundFailed
from .proxy import Network, Proxy
from .publishers import Publisher
from .records import Record, history_problems, stream_problems
from .resources import Resources, children, observed, serving
from .sharing import Command, later, left_behind, shared_problems
from .subscribers import Subscriber

HEARTBEAT = 1.0
"""Seconds; a subscriber gives up a connection after three."""
SETTLED = 10
"""Events that each publisher must get acknowledged after the fault."""

_ALL_WORKERS = 5
"""Answers in a row, each from any of the workers, after which all of them count as well."""


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
        place: Place,
        environ: dict[str, str],
        hubs: int,
        brief: bool = False,
        size: int,
        lasting: Resources,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.publishers: list[Publisher] = []
        self.subscribers: list[Subscriber] = []
        self.proxies: list[Proxy] = []
        self.links: list[Proxy] = []
        """Between each hub and the server of the history, if the place has such."""
        self.problems: list[str] = []
        self.history: list[Record] = []
        self.saved: Collection[str] | None = None
        """The keys that a fault has saved from the loss that it then causes; None: nothing may be lost."""
        self.brief = brief
        """Whether to leave out what takes longest."""
        self._place = place
        self._size = size
        self._lasting = lasting
        self._seed = seed
        settings = {
            "HUB_HEARTBEAT": f"{HEARTBEAT:g}s",
            "HUB_STALL": "4s",
            "HUB_AUTH": "open",
            **store.settings(folder),
            **environ,
            **place.environ,
        }
        self.hubs: list[HubProcess] = []
        for number in range(hubs):
            own = folder / f"hub{number}"
            own.mkdir()
            self.hubs.append(HubProcess(own, **options, **observed(settings | self._link(number), own)))
        self._baselines: list[Resources] = []

    def _link(self, number: int) -> dict[str, str]:
        """The settings with which a hub reaches the server through a proxy."""
        if not self._place.linked:
            return {}
        link = Proxy(self.server.port, f"{self._seed}-link{number}").__enter__()
        self.links.append(link)
        return {"HUB_HISTORY": f"redis://127.0.0.1:{link.port}"}

    @property
    def hub(self) -> HubProcess:
        return self.hubs[0]

    @property
    def server(self) -> ValkeyServer:
        """The server that the hubs share."""
        assert self._place.server is not None
        return self._place.server

    @property
    def command(self) -> Command:
        """Sends one command to the server of the history."""
        assert self._place.command is not None
        return self._place.command

    @property
    def staying(self) -> list[Subscriber]:
        """Those that leave a hub only if they must."""
        return [subscriber for subscriber in self.subscribers if not subscriber.moves]

    def acknowledged(self) -> dict[str, str]:
        """The id of each event that was acknowledged, by key."""
        return {key: cursor for publisher in self.publishers for key, cursor in dict(publisher.acknowledged).items()}

    def refused(self) -> int:
        """POSTs that were refused for the moment."""
        return sum(publisher.refused for publisher in self.publishers)

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

    def times(self, most: int) -> int:
        """How often to repeat the fault."""
        return 1 if self.brief else self.rng.randrange(1, most + 1)

    def pause(self, most: float = 0.3) -> None:
        """Let the fault hit at a random moment."""
        time.sleep(self.rng.uniform(0, min(most, 1.0) if self.brief else most))

    # -- the course of a round ---------------------------------------------------------------------------------------

    def start(self) -> None:
        for hub in self.hubs:
            hub.launch()
        for hub in self.hubs:
            hub.wait_ready()
        for hub in self.hubs:
            self._warm_up(hub)
        self._together()
        self._baselines = [Resources.of(hub) + self._lasting + later(hub) for hub in self.hubs]
        for _ in range(2):
            self.publish()
        self.subscribe()
        self.subscribe(kind="n")
        self.subscribe(slow=0.05)
        if self._place.command is not None:
            self.subscribe(moves=1.0)
            self.subscribe(moves=0.3, kind="n")
        self.progress(5)

    def _together(self) -> None:
        """Wait until all processes know of each other."""
        if self._place.command is not None:
            number = sum(len(serving(hub)) for hub in self.hubs)
            for hub in self.hubs:
                until(lambda hub=hub: hub.get("/api/health")["processes"] == number, f"{number} processes")

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
            self._same(other)
        self._compare()
        self._close()
        for hub, baseline in zip(self.hubs, self._baselines, strict=True):
            self._released(hub, baseline)
        if self._place.command is not None:
            self._together()
            self.problems += shared_problems(self._place.command, self.hubs)
        for hub in self.hubs:
            self._ended(hub)
        if self._place.server is not None:
            self.problems += left_behind(self._place.server.command)
        if self.problems:
            raise RoundFailed("\n".join(self.problems))

    def _read(self, hub: HubProcess) -> list[Record]:
        """What the hub has."""
        records: list[Record] = []
        after = f"{self._well(hub)['cursor'].partition('-')[0]}-0"
        while True:
            page = hub.get("/api/events", params={"after": after, "limit": 1000})
            if page.get("gap"):
                self.problems.append(f"a gap in the history: {page['gap']}")
            records += [Record.of(item["id"], item["event"]) for item in page["events"]]
            if not page["more"]:
                return records
            after = page["after"]

    @staticmethod
    def _well(hub: HubProcess) -> Any:
        """The health of the hub, once that is well again, with all its workers."""
        answers: list[requests.Response] = []

        def well() -> bool:
            answers.append(requests.get(f"{hub.url}/api/health", timeout=PATIENCE))
            return all(answer.ok for answer in answers[-_ALL_WORKERS:]) and len(answers) >= _ALL_WORKERS

        until(well, "the hub to be well again")
        return answers[-1].json()

    def _same(self, other: HubProcess) -> None:
        """What one hub has acknowledged takes the others a moment to deliver."""
        try:
            until(lambda: self._read(other) == self.history, "the same history at another hub")
        except AssertionError:
            found = self._read(other)
            pairs = (f"{a} and {b}" for a, b in zip_longest(self.history, found) if a != b)
            self.problems.append(f"the hubs show different histories, the first {next(pairs, None)}")

    def _compare(self) -> None:
        acknowledged = self.acknowledged()
        if self.saved is not None:
            lost = lost_without_reason(self.history, acknowledged, self.saved)
            self.problems += [f"{len(lost)} events lost that were not at risk, such as {lost[0]}"] if lost else []
            stored = {record.key for record in self.history}
            acknowledged = {key: cursor for key, cursor in acknowledged.items() if key in stored}
        self.problems += [problem for publisher in self.publishers for problem in publisher.problems]
        orders = [publisher.order for publisher in self.publishers]
        shared = self._place.command is not None
        self.problems += history_problems(self.history, acknowledged, orders, epochs=shared)
        head = self.history[-1].cursor
        for subscriber in self.subscribers:
            subscriber.hurry()
        for subscriber in self.subscribers:
            # With a filter, the heartbeat after the last match brings it to the head.
            try:
                until(lambda s=subscriber: _at(s, head) or s.problems, "the head", 2 * PATIENCE)
            except AssertionError:
                self.problems.append(f"{subscriber.name} reached {subscriber.reached} of {head}")
        for subscriber in self.subscribers:
            seen = list(subscriber.seen)
            if self.saved is None:
                found = stream_problems(self.history, seen, subscriber.matches, bool(subscriber.kind))
            else:
                found = stream_problems_after_loss(self.history, seen, subscriber.matches)
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
        group = [psutil.Process(pid) for pid in (*serving(hub), *children(hub))]
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
        for link in self.links:
            link.__exit__()


def _at(subscriber: Subscriber, head: Cursor) -> bool:
    reached = subscriber.reached
    return reached.epoch == head.epoch and reached.offset >= head.offset
