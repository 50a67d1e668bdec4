"""Takes the screenshots of the page for docs/, from a hub with two sample rooms: `python -m tools.screenshots`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.chromium import FLAGS
from tests.hubs import ROOT, HubProcess
from tests.toolchain import tool

from . import two_rooms

VIEWS = {
    "page": {"size": (1280, 800), "scheme": "light"},
    "page-dark": {"size": (1280, 800), "scheme": "dark", "query": "#room=support-7", "chosen": "turn_metrics"},
    "page-phone": {"size": (390, 844), "scheme": "light"},
    "page-phone-events": {"size": (360, 740), "scheme": "dark", "query": "#view=log"},
    "session": {"size": (1280, 800), "scheme": "light", "query": "#room=support-7&panel=session"},
    "page-empty": {"size": (1280, 800), "scheme": "light", "empty": True},
}


def _take(browser: Browser, hub: HubProcess, name: str, folder: Path) -> None:
    view = VIEWS[name]
    width, height = view["size"]
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=view["scheme"], device_scale_factor=1.5
    )
    page.on("pageerror", lambda error: print(f"{name}: {error}", file=sys.stderr))
    page.goto(f"{hub.url}/{view.get('query', '')}")
    page.wait_for_function("document.getElementById('connection').dataset.state === 'live'")
    if not view.get("empty"):
        page.wait_for_function("document.querySelectorAll('#conversation li').length > 5")
    if "chosen" in view:
        page.locator(".row", has_text=view["chosen"]).first.click()
    page.wait_for_timeout(400)  # let animations end
    path = folder / f"{name}.png"
    page.screenshot(path=path)
    page.close()
    # 256 colours are enough for this page and take a third of the space. Pillow comes with the extra `bench`.
    with contextlib.suppress(ImportError):
        from PIL import Image

        Image.open(path).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT).save(path, optimize=True)


def main(names: list[str]) -> int:
    folder = Path(os.environ.get("PICTURES", ROOT / "docs" / "pictures"))
    folder.mkdir(exist_ok=True)
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = tool("node")
    with (
        tempfile.TemporaryDirectory() as scratch,
        HubProcess(Path(scratch), PORT=os.environ.get("PORT", "5000")) as hub,
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=tool("chromium"), args=FLAGS)
        wanted = names or list(VIEWS)
        for name in sorted(wanted, key=lambda view: not VIEWS[view].get("empty")):
            if not VIEWS[name].get("empty") and not hub.get("/api/events?limit=1")["events"]:
                hub.publish(two_rooms.events(time.time()))
            _take(browser, hub, name, folder)
            print(f"{folder / name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "views", nargs="*", choices=[[], *VIEWS], metavar="VIEW", help=f"any of {', '.join(VIEWS)} (default: all)"
    )
    sys.exit(main(parser.parse_args().views))
