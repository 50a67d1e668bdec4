"""Chromium for the samples, with the same fixtures as for the hub's own page."""

from __future__ import annotations

from ..browser.conftest import chromium, context, new_page, page

__all__ = ["chromium", "context", "new_page", "page"]
