"""For people who have a LiveKit agent: one line, and everything it hears, says and does is seen.

>>> from event_hub.livekit import attach            # doctest: +SKIP
>>> attach(session)                                 # doctest: +SKIP
"""

from .attachment import Attachment, attach
from .process import publisher, report_failed, report_ready, watch_worker

__all__ = ["Attachment", "attach", "publisher", "report_failed", "report_ready"]

watch_worker()
