"""Chromium for the tests: its command-line flags, and waiting for a page."""

from __future__ import annotations

from playwright.sync_api import Page

from ..hubs import until

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def wait_true(page: Page, expression: str) -> None:
    """Wait until a JavaScript expression is true. Playwright's `wait_for_function` uses `eval` in the page, which the policies
    of our pages forbid."""
    until(lambda: page.evaluate(expression), expression)
