"""Redaction: replaces e-mail addresses, phone, card and account numbers, and what an operator's patterns match, in events.

`parse` reads the value of HUB_REDACT into `Rules`; an `EventRedactor` applies them to one event after another, streamed
text included. Pure: no socket, thread or clock; a caller with several threads brings its own lock.
"""

from __future__ import annotations

from .event_fields import EventRedactor
from .setting import Rules, parse
from .stream import Undo
from .text import TextRedactor

__all__ = ["EventRedactor", "Rules", "TextRedactor", "Undo", "parse"]
