"""The hub: what the routes call. Publishing, subscribing and health; everything else is put together here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from .. import __version__
from ..sessions import Session
from .access.access import Access
from .access.principal import LOCAL, Principal
from .agents.launcher import Launcher
from .agents.record import folder_of
from .agents.reports import REPORTS
from .clock import SteadyClock
from .condensed_history import CondensedReader
from .cooperate import Turns
from .counters import Counters
from .drafts import drafts_of
from .drain import drain
from .erasure.eraser import Erased, Eraser
from .erasure.selector import Selection, Selector
from .errors import RequestError
from .forward.forwarding import DRAIN as FORWARD_DRAIN
from .forward.forwarding import Forwarding
from .history import Appended, Draft, History, HistoryError, HistoryReader
from .history.health import HistoryHealth
from .insight import Insight
from .recordings.joining import Found
from .scoped_sessions import ScopedSessions
from .session_index.file import index_path
from .settings import Settings
from .streaming.broadcast import Broadcast
from .streaming.commit import Committer
from .streaming.delivery import Delivery
from .streaming.log import Log
from .streaming.streams import Streams
from .upkeep import Upkeep

if TYPE_CHECKING:
    from .peers.facts import Facts
    from .peers.peers import Peers
    from .redacting import Redacting

logger = logging.getLogger(__name__)

MAX_BATCH = 10_000
"""Events in one POST: about 100 ms of work, during which no other request is served."""
_AGENTS_SHARE = 0.7
"""The share of the drain time that agents may use; subscribers need the rest."""


class Published(NamedTuple):
    """The outcome of a POST: first and last id, number of new events and duplicates, and the subscribers notified (None for
    a publisher that may not know)."""

    first: str | None
    last: str | None
    accepted: int
    duplicates: int
    notified: int | None


class EventHub:
    """One hub in one process. `start` it before use, `drain` it at the end."""

    def __init__(
        self, settings: Settings, history: History, *, access: Access | None = None, descriptors: int = 1024
    ) -> None:
        self.settings = settings
        self.access = access or Access(settings)
        self.peers = self._peers(history)
        """The other processes that share the history; None if none can."""
        self.counters = Counters()
        self.clock = SteadyClock()
        """When events are received, in epoch seconds."""
        self.history_health = HistoryHealth(self.counters, history.degraded)
        self.log = Log(ring=settings.ring, ring_bytes=settings.ring_bytes, head=history.head)
        self.history = HistoryReader(history, self.log)
        turns = Turns()
        self.sessions = ScopedSessions(self.history, turns, path=index_path(settings.history, folder_of(settings).path))
        self.condensed = CondensedReader(self.history, turns)
        self.broadcast = Broadcast(
            self.log,
            history.epochs,
            self.counters,
            heartbeat=settings.heartbeat,
            stall=settings.stall,
            ended=self.access.ended,
            degraded=lambda: self.history_health.error is not None,
        )
        self.streams = Streams(
            self.history,
            self.broadcast,
            self.counters,
            self.history_health,
            max_subscribers=settings.subscriber_limit(descriptors),
            takeover=settings.takeover,
            clock=self.clock,
            seat=self.access.limits.stream,
        )
        self.max_connections = settings.connection_limit(descriptors)
        self.started = time.time()
        self.agents = self._launcher()
        self.access.agent_is_live = self.agents.is_live
        self.access.hide = self.agents.mask.hide
        self.agents.mask.hide(self.access.secrets)
        self.forwarding = Forwarding(settings, self.history, self.peers, self.sessions.ended_by)
        self.redacting: Redacting | None = None
        """What HUB_REDACT asks for; its libraries are loaded only then."""
        if settings.redact is not None:
            from .redacting import Redacting

            self.redacting = Redacting(settings.redact)
        self.insight = Insight(
            settings,
            self.history,
            lambda events: self.publish(events, batch=True),
            self._session_of_job,
            lambda: self.peers is None or self.peers.first,
            self.clock,
        )
        self.recordings = self.insight.recordings
        self._history = history
        self._delivery = Delivery(
            self.broadcast, history, self.history_health, self._history_restarted, self.forwarding.wake
        )
        self._committer = Committer(history, self._delivery, self.counters, self.history_health, clock=self.clock)
        self.eraser = Eraser(
            history,
            self.history,
            self.broadcast,
            self.history_health,
            settings.targets,
            self._clear_caches,
            self._events_erased,
            self._tell_erased if self.peers is not None else None,
        )
        self._upkeep = Upkeep(
            history,
            self.history_health,
            self.clock,
            self.eraser,
            settings.room_retention,
            self.streams.replay_pages.drop_unused,
            (lambda: peers.first) if (peers := self.peers) is not None else None,
        )
        if peers is not None:
            peers.calls.methods["erased"] = self._erased_elsewhere
            peers.calls.methods["subscribers"] = lambda limit: self.subscribers(limit)[1]

    def start(self) -> None:
        """Start the loops: flush, sweep, upkeep, and what follows the history."""
        if self.peers is not None:
            self.peers.start()
        self.broadcast.start()
        self._delivery.start()
        self._upkeep.start()
        self.forwarding.start()
        self.insight.start()
        self.sessions.start()
        self.agents.open()

    def _peers(self, history: History) -> Peers | None:
        if not history.shared:
            return None
        from .peers.peers import Peers, shared

        server = shared(history)
        if server is None:
            return None
        peers = Peers(server, self._facts, version=__version__)
        self.access.use_secret(peers.shared_secret(self.access.hub_secret()))
        self.access.limits.share(server.address, lambda: peers.streams)
        return peers

    def _launcher(self) -> Launcher:
        def publish(event: dict[str, Any]) -> object:
            return self.publish([event], batch=False)

        if self.peers is None:
            return Launcher(self.settings, publish, self.access.agents_credential)
        from .agents.shared_launcher import SharedLauncher

        return SharedLauncher(self.settings, publish, self.access.agents_credential, self.peers)

    def _facts(self) -> Facts:
        """What the other processes learn of this one, once a second."""
        from .agents.shared_launcher import SharedLauncher
        from .peers.facts import Facts
        from .peers.peers import watched

        by_credential, by_address = self.access.limits.open_streams()
        assert isinstance(self.agents, SharedLauncher)
        with self.broadcast.lock:
            filters = watched(self.log.views)
        return Facts(
            closed=self._committer.closed,
            subscribers=self.broadcast.count,
            watched=filters,
            credential_streams=by_credential,
            address_streams=by_address,
            launches=self.agents.launches,
            agents=self.agents.live(),
        )

    # -- publishing --------------------------------------------------------------------------------------------------

    def publish(self, events: list[Any], *, batch: bool, by: Principal = LOCAL) -> Published:
        """Validate, store and broadcast `events`, all or none; raises `RequestError`.

        Fills in `timestamp` where it is missing. With `batch`, an error names the index of the event. `by`: the publisher,
        whose grant each event must be within.
        """
        if len(events) > MAX_BATCH:
            raise RequestError("too_many_events", f"a batch has at most {MAX_BATCH} events, this one has {len(events)}")
        drafts = drafts_of(events, time.time(), by, self.settings.max_event, batch=batch)
        self.broadcast.wait_for_room()
        if self.redacting is None:
            return self._commit(drafts, by)
        with self.redacting.drafts(events, drafts) as redacted:
            return self._commit(redacted, by)

    def _commit(self, drafts: list[Draft], by: Principal) -> Published:
        appended, notified = self._committer.commit(drafts)
        if self.peers is not None:
            notified += self.peers.notified((draft.type, draft.room, draft.session) for draft in drafts)
        duplicates = sum([duplicate for _, duplicate in appended])
        accepted = len(appended) - duplicates
        self.counters.published += accepted
        self.counters.duplicates += duplicates
        self._upkeep.appended(accepted)
        self.forwarding.wake()
        new = drafts
        if duplicates:
            new = [draft for draft, (_, duplicate) in zip(drafts, appended, strict=True) if not duplicate]
        self.insight.metrics.observe(new)
        if by.grant.publish is None:  # others may not report on behalf of the hub's agents
            for draft in drafts:
                if draft.type in REPORTS:
                    self._report(drafts, appended)
                    break
        if not appended:
            return Published(None, None, 0, 0, 0 if by.sees_all else None)
        first = str(self.history.cursor(appended[0].offset))
        last = first if len(appended) == 1 else str(self.history.cursor(appended[-1].offset))
        return Published(first, last, accepted, duplicates, notified if by.sees_all or by.grant.control else None)

    def _report(self, drafts: list[Draft], appended: list[Appended]) -> None:
        """Tell the launcher what agents report of themselves."""
        events = zip(drafts, appended, strict=True)
        self.agents.reported(
            [draft.data for draft, (_, duplicate) in events if draft.type in REPORTS and not duplicate]
        )

    def forget(self, selector: Selector, *, dry_run: bool) -> Erased:
        """Erase the events that `selector` selects, and tell subscribers; raises `RequestError`."""
        sessions: list[Session] = []
        if selector.session is not None:
            with self.history_health.reading(), self.sessions.of(None).sessions() as (known, _):
                sessions = known.find(selector.session, selector.room)
        erased = self.eraser.forget(Selection(selector, sessions), folder_of(self.settings).logs(), dry_run=dry_run)
        jobs = self.recordings.jobs_of(sessions, selector)
        erased = erased._replace(recordings=len(jobs))
        if not dry_run:
            self.recordings.erase(jobs)
        if erased.events and not dry_run:
            named = {"session": selector.session, "room": selector.room}
            event: dict[str, Any] = {
                "type": "events_erased",
                "timestamp": time.time(),
                "count": erased.events,
                "selected": {name: value for name, value in named.items() if value is not None},
            }
            data = msgspec.json.encode(event)
            self._commit([Draft("events_erased", selector.room, selector.session, None, data)], LOCAL)
        if not dry_run:
            self.eraser.scrub_now()
        return erased

    def _events_erased(self) -> None:
        """Some events of an erasure that is in progress are erased."""
        self.streams.replay_pages.clear()
        self.forwarding.erased()

    def _history_restarted(self) -> None:
        """The history has lost events that were delivered."""
        self.streams.replay_pages.clear()
        self.forwarding.restarted()
        # Not here: a cache is locked while sessions are computed, and delivery must not wait for that.
        threading.Thread(target=self._clear_caches, name="hub-clear", daemon=True).start()

    def _tell_erased(self, tombstones: Mapping[int, bytes]) -> None:
        """The other processes have the events in memory too."""
        assert self.peers is not None
        told = [[offset, data.decode()] for offset, data in tombstones.items()]
        if silent := self.peers.tell_all("erased", told):
            logger.error(
                "%d other processes did not confirm that they forget what was erased: restart them", len(silent)
            )

    def _erased_elsewhere(self, tombstones: list[tuple[int, str]]) -> None:
        self.eraser.replace_frames({offset: data.encode() for offset, data in tombstones})
        self._clear_caches()

    def _clear_caches(self) -> None:
        self.sessions.clear()
        self.condensed.clear()

    def _session_of_job(self, job: str) -> Found | None:
        with self.history_health.reading(), self.sessions.of(None).sessions() as (known, _):
            session = known.of_job(job)
            return None if session is None else Found(session.room, session.session, session.id)

    # -- operators ---------------------------------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        return self.streams.closing

    def subscribers(self, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """The number of open streams here, and the facts of the first of them."""
        open_streams = self.broadcast.subscribers()
        return len(open_streams), [self.broadcast.facts(subscriber) for subscriber in open_streams[:limit]]

    def all_subscribers(self, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """The same for all processes that share the history."""
        count, listed = self.subscribers(limit)
        if self.peers is not None:
            others = self.peers.others()
            count += self.peers.subscribers
            for _, found in self.peers.ask(others, "subscribers", limit) if len(listed) < limit else ():
                listed += found
        return count, listed[:limit]

    def health(self) -> dict[str, Any]:
        """The facts of `/api/health`. `status`: ok, degraded (the history cannot be written) or draining."""
        reader, error = self.history, self.history_health.error
        history: dict[str, Any] = {
            "kind": reader.kind,
            "events": reader.head - reader.floor,
            "oldest": str(reader.cursor(min(reader.floor + 1, reader.head))),
        }
        if error:
            history["error"] = error
        return {
            "status": "draining" if self.draining else "degraded" if error else "ok",
            "uptime": round(time.time() - self.started, 3),
            "cursor": str(reader.cursor(reader.head)),
            "subscribers": self.broadcast.count + (self.peers.subscribers if self.peers is not None else 0),
            "max_subscribers": self.streams.max_subscribers,
            "history": history,
            **({"processes": 1 + len(self.peers.others())} if self.peers is not None else {}),
            **({"forwards": self.forwarding.health()} if self.forwarding.followers else {}),
        }

    # -- shutdown ----------------------------------------------------------------------------------------------------

    def end_agents(self) -> None:
        """Stop the agents first, while every request is still served, so that their last events are stored. A worker process
        that ends alone does not: the others take its agents over."""
        self.agents.end(min(self.settings.agent_grace, _AGENTS_SHARE * self.settings.drain))

    def drain(self, grace: float, *, alone: bool = False) -> None:
        """Accept nothing more, close every stream in order, then close the hub; within `grace` seconds. `alone`: only this
        worker process of the hub ends."""
        began = time.monotonic()
        self.streams.closing = True
        self._committer.close(began + grace)
        if self.peers is not None:
            if not alone:  # what a sibling still accepts is for the subscribers here as well
                self.peers.wait_for_siblings(lambda facts: facts.closed, began + grace / 3)
            with suppress(HistoryError):
                self.history.catch_up()
        self.forwarding.finish()
        drain(self.broadcast, self.counters, began + grace)
        self.forwarding.wait(began + min(FORWARD_DRAIN, grace / 2))
        self.close()

    def close(self) -> None:
        """Stop the loops and close the history."""
        self.agents.close()
        self.forwarding.close()
        self.broadcast.stop()
        self._upkeep.stop()
        self.insight.stop()
        self.sessions.stop()
        if self.peers is not None:
            self.peers.stop()
        try:
            self._history.close()
        except HistoryError as error:
            logger.error("%s", error)
        self._delivery.stop()
