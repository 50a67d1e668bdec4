"""The page drops what was erased (privacy)."""

from __future__ import annotations

import requests
from playwright.sync_api import Page, expect

from ..hubs import PATIENCE, HubProcess


def test_what_is_erased_leaves_the_page(watched: tuple[Page, HubProcess]) -> None:
    page, hub = watched
    said = {"type": "transcript", "role": "user", "participant": "ada"}
    hub.publish([{**said, "text": "secret words", "session": "s1"}, {**said, "text": "other words", "session": "s2"}])
    expect(page.locator("#conversation")).to_contain_text("secret words")
    answer = requests.post(f"{hub.url}/api/forget", json={"session": "s1"}, timeout=PATIENCE)
    assert answer.json()["events"] == 1
    expect(page.locator("body")).not_to_contain_text("secret words")
    expect(page.locator("#conversation")).to_contain_text("other words")
