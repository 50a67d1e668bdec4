"""What a hub knows of its agents beyond their events: recordings and traces, alerts, metrics, prices."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from .agent_metrics import AgentMetrics
from .alerts.alerts import Alerts
from .history import HistoryReader
from .pricing import Prices
from .recordings.joining import Found
from .recordings.recordings import Recordings
from .settings import Settings

logger = logging.getLogger(__name__)


class Insight:
    """All that of one hub. `start` them before use, `stop` them at the end."""

    def __init__(
        self,
        settings: Settings,
        history: HistoryReader,
        publish: Callable[[list[dict[str, Any]]], object],
        session_of: Callable[[str], Found | None],
        responsible: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """`session_of`: the session of one of LiveKit's jobs. `responsible`: whether this process, of those that share the
        history, publishes alerts."""
        self.metrics = AgentMetrics()
        self._prices = settings.prices
        self.prices = Prices.of_file(self._prices) if self._prices is not None else None
        self.recordings = Recordings(settings, publish, session_of, clock)
        self.alerts = Alerts(settings.alerts, history, lambda event: publish([event]), responsible, clock)

    def reload(self) -> bool:
        """Read the prices again. A wrong file changes nothing and is logged. Returns whether it is in force."""
        if self._prices is None:
            return True
        try:
            self.prices = Prices.of_file(self._prices)
        except ValueError as error:
            logger.error("the prices are not changed, because HUB_PRICES %s", error)
            return False
        logger.warning("the prices were read again")
        return True

    def start(self) -> None:
        self.recordings.start()
        self.alerts.start()

    def stop(self) -> None:
        self.alerts.stop()
        self.recordings.stop()
