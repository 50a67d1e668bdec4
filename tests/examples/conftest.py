"""Chromium for the samples, as for the hub's own page."""

from __future__ import annotations

from ..browser.conftest import browser, context, new_page, page

__all__ = ["browser", "context", "new_page", "page"]
