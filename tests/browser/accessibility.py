"""Asks axe-core what in a page readers with a screen reader or a keyboard cannot use."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from playwright.sync_api import Page

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def findings(page: Page, selector: str = "#console") -> list[str]:
    """What axe finds below `selector`: a line for each rule, with the first element."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found: dict[str, Any] = page.evaluate(
        "([selector, rules]) => axe.run(document.querySelector(selector), { runOnly: rules })", [selector, _RULES]
    )
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html']}" for one in found["violations"]]


def findings_everywhere(page: Page) -> list[str]:
    """What axe finds in light and dark, on a wide and on a narrow screen; also whether the view overflows sideways."""
    found = []
    for scheme in ("light", "dark"):
        for width in (1400, 360):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 800})
            found += [f"{scheme}, {width} px: {line}" for line in findings(page)]
            view = "document.querySelector('#console > :not([hidden])')"
            if page.evaluate(f"{view}.scrollWidth > {view}.clientWidth"):
                found.append(f"{width} px: the view overflows sideways")
    return found
