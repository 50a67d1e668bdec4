"""Signing in and out on the page, and shared links (H37), in Chromium."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from ..conftest import outliving
from ..hubs import PATIENCE, ROOT, HubProcess
from .conftest import live

CONTROL, WATCH, DESK = "control-secret-0001", "subscribe-secret-01", "subscribe-secret-02"
ROBOT = "publish-secret-0001"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that requires credentials, with something said in two rooms."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "keys").write_text(f"subscribe wall:{WATCH}\n")
    environ = {
        "HUB_CONTROL_KEYS": f"boss:{CONTROL}",
        "HUB_SUBSCRIBE_KEYS": f"desk:{DESK}@support-*",
        "HUB_PUBLISH_KEYS": f"robot:{ROBOT}",
        "HUB_KEYS_FILE": str(folder / "keys"),
        "HUB_CORS_ORIGINS": "null",
    }
    with outliving() as keep, HubProcess(folder, **environ) as hub:
        keep()
        said = {"type": "transcript", "role": "user", "participant": "ada"}
        for room in ("support-1", "other"):
            post(hub, {**said, "text": f"said in {room}", "room": room, "session": f"s-{room}"})
        yield hub


def post(hub: HubProcess, event: dict[str, Any]) -> None:
    answer = hub.post(event, headers={"Authorization": f"Bearer {CONTROL}"})
    assert answer.status_code == 200, answer.text


def share(hub: HubProcess, **body: Any) -> str:
    headers = {"Authorization": f"Bearer {CONTROL}"}
    answer = requests.post(f"{hub.url}/api/share", json=body, headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200, answer.text
    return hub.url + str(answer.json()["url"])


def sign_in(page: Page, hub: HubProcess, key: str) -> None:
    page.goto(f"{hub.url}/")
    enter(page, key)


def enter(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_label("Sign in").get_by_role("button", name="Sign in").click()


def test_a_stranger_is_asked_for_a_key_and_sees_nothing(page: Page, guarded: HubProcess) -> None:
    page.goto(f"{guarded.url}/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#sign-in-why")).to_have_text("This hub requires a key.")
    expect(page.locator("#connection")).to_have_text("signed out")
    expect(page.locator("body")).not_to_contain_text("said in")
    page.get_by_label("Key").fill("not-a-key-000000")
    page.get_by_label("Sign in").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").filter(has_text="That is not a key of this hub.")).to_be_visible()


def test_signing_in_shows_what_the_key_may_see(page: Page, guarded: HubProcess) -> None:
    sign_in(page, guarded, DESK)
    live(page)
    expect(page.locator("#conversation")).to_contain_text("said in support-1")
    expect(page.locator("#conversation")).not_to_contain_text("said in other")
    for name in ("Agents", "Talk", "Post event"):
        expect(page.get_by_role("button", name=name)).to_be_hidden()
    page.reload()
    live(page)
    expect(page.locator("#conversation")).to_contain_text("said in support-1")
    assert page.evaluate("document.cookie") == "", "no script can read the cookie"
    post(guarded, {"type": "transcript", "role": "user", "text": "live at the desk", "room": "support-1"})
    expect(page.locator("#conversation")).to_contain_text("live at the desk")


def test_signing_out_empties_the_page(page: Page, guarded: HubProcess) -> None:
    sign_in(page, guarded, WATCH)
    live(page)
    expect(page.locator("#conversation")).to_contain_text("said in other")
    account = page.get_by_role("button", name="Sign out")
    expect(account).to_have_attribute("title", "Signed in as wall")
    expect(page.locator("#who")).to_have_text("wall")
    account.click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("body")).not_to_contain_text("said in")
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_control_key_has_all_controls(page: Page, guarded: HubProcess) -> None:
    sign_in(page, guarded, CONTROL)
    live(page)
    for name in ("Agents", "Talk", "Post event"):
        expect(page.get_by_role("button", name=name)).to_be_visible()


def test_all_tabs_follow_a_sign_in(new_page: Callable[[], Page], guarded: HubProcess) -> None:
    first, second = new_page(), new_page()
    for tab in (first, second):
        tab.goto(f"{guarded.url}/")
        expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(first, guarded, WATCH)
    live(first)
    live(second)
    expect(second.get_by_role("heading", name="Sign in")).to_be_hidden()
    expect(second.locator("#conversation")).to_contain_text("said in other")
    first.get_by_role("button", name="Sign out").click()
    for tab in (first, second):
        expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(tab.locator("body")).not_to_contain_text("said in")


def test_a_key_that_may_not_see_events_is_told_so(page: Page, guarded: HubProcess) -> None:
    sign_in(page, guarded, ROBOT)
    expect(page.locator("#sign-in-why")).to_have_text("robot may not see events. Sign in with another key.")
    enter(page, WATCH)
    live(page)
    expect(page.locator("#who")).to_have_text("wall")


def test_another_key_shows_what_it_may_see(page: Page, guarded: HubProcess) -> None:
    """The history was loaded with the rights of the first key."""
    sign_in(page, guarded, DESK)
    live(page)
    page.context.clear_cookies()
    page.evaluate("fetch('/api/sign-out', { method: 'POST' })")
    answer = page.evaluate(
        f"""fetch('/api/sign-in', {{
            method: 'POST', body: '{{"key": "{WATCH}"}}', headers: {{ 'Content-Type': 'application/json' }},
        }}).then(({{ status }}) => status)"""
    )
    assert answer == 200
    page.reload()
    expect(page.locator("#who")).to_have_text("wall")
    expect(page.locator("#conversation")).to_contain_text("said in other")


def test_a_refused_request_asks_for_a_key_and_keeps_what_is_on_screen(page: Page, guarded: HubProcess) -> None:
    """The stream is still open, but the browser has lost its cookie."""
    sign_in(page, guarded, CONTROL)
    live(page)
    expect(page.locator("#conversation")).to_contain_text("said in other")
    page.context.clear_cookies()
    page.get_by_role("button", name="Agents").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Sign in").get_by_role("button", name="Close").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_hidden()
    expect(page.locator("#conversation")).to_contain_text("said in other")
    page.get_by_role("button", name="Sign in").click()
    enter(page, DESK)
    expect(page.locator("#who")).to_have_text("desk")
    expect(page.locator("#conversation")).to_contain_text("said in support-1")
    expect(page.locator("body")).not_to_contain_text("said in other")


def test_a_key_that_is_removed_ends_the_view(
    page: Page, hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"subscribe wall:{WATCH}\n")
    hub = hub_factory(HUB_CONTROL_KEYS=f"boss:{CONTROL}", HUB_KEYS_FILE=str(keys)).start()
    post(hub, {"type": "transcript", "role": "user", "text": "said before", "room": "r"})
    sign_in(page, hub, WATCH)
    live(page)
    keys.write_text("")
    assert hub.process is not None
    os.kill(hub.process.pid, signal.SIGHUP)
    expect(page.locator("#sign-in-why")).to_have_text("Your access was revoked.")
    expect(page.locator("#connection")).to_have_text("signed out")
    expect(page.locator("#conversation")).to_contain_text("said before")


def test_too_many_wrong_keys_have_to_wait(page: Page, hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_CONTROL_KEYS=f"boss:{CONTROL}").start()
    page.goto(f"{hub.url}/")
    for n in range(12):
        requests.post(f"{hub.url}/api/sign-in", json={"key": f"guess-{n}"}, timeout=PATIENCE)
    enter(page, "not-a-key-000000")
    refused = page.get_by_role("alert").filter(has_text="There were too many wrong keys from your address.")
    expect(refused).to_have_text(re.compile(r"Try again in \d+ s\.$"))
    enter(page, CONTROL)  # the right one is never delayed
    live(page)


def test_a_browser_without_cookies_says_so(page: Page, guarded: HubProcess) -> None:
    page.route("**/api/sign-in", lambda route: route.fulfill(json={}))  # as if the cookie had been left out
    sign_in(page, guarded, WATCH)
    expect(page.get_by_role("alert").filter(has_text="allow cookies for this page")).to_be_visible()


def test_a_page_with_keys_shows_no_other_hub(page: Page, guarded: HubProcess, hub: HubProcess) -> None:
    """A link to our page could otherwise ask for a key on behalf of another server."""
    page.goto(f"{guarded.url}/?hub={hub.url}")
    expect(page.locator("#connection")).to_have_attribute("data-state", "waiting")
    expect(page.locator("#reason")).to_contain_text("a hub that requires keys does not let its page show other hubs")


def test_a_shared_room_opens_that_room_and_nothing_else(page: Page, guarded: HubProcess) -> None:
    page.goto(share(guarded, rooms=["support-1"], **{"for": "2h"}))
    live(page)
    expect(page.locator("#shared-view")).to_have_text(re.compile(r"^Shared view of room “support-1”, until "))
    expect(page.locator("#conversation")).to_contain_text("said in support-1")
    expect(page.locator("body")).not_to_contain_text("said in other")
    assert "access_token" not in page.url
    for name in ("Agents", "Talk", "Post event", "Sign in", "Sign out"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_hidden()
    expect(page.get_by_role("navigation", name="Rooms and sessions")).to_be_hidden()
    page.reload()
    live(page)
    expect(page.locator("#conversation")).to_contain_text("said in support-1")


def test_a_token_behind_the_hash_is_taken_as_well(page: Page, guarded: HubProcess) -> None:
    """There, it does not even reach a proxy's log."""
    given = share(guarded, rooms=["support-1"]).replace("/?access_token", "/#access_token").replace("#room=", "&room=")
    page.goto(given)
    live(page)
    expect(page.locator("#shared-view")).to_contain_text("room “support-1”")
    assert "access_token" not in page.url
    assert page.url.endswith("room=support-1")


def test_a_shared_session(page: Page, guarded: HubProcess) -> None:
    page.goto(share(guarded, session="s-other"))
    live(page)
    expect(page.locator("#shared-view")).to_contain_text("session “s-other”")
    expect(page.locator("#conversation")).to_contain_text("said in other")
    page.get_by_role("button", name="Session", exact=True).click()
    link = page.locator("#session").get_by_role("link", name="txt").first
    expect(link).to_be_visible()
    answer = requests.get(str(link.get_attribute("href")), timeout=PATIENCE)
    assert (answer.status_code, "said in other" in answer.text) == (200, True)


def test_a_link_that_is_not_valid_says_so(page: Page, guarded: HubProcess) -> None:
    page.goto(f"{guarded.url}/?access_token=share.e30.AAAA#room=support-1")
    expect(page.locator("#sign-in-why")).to_have_text("This link or key is not valid any more.")
    assert "access_token" not in page.url
    page.get_by_label("Key").fill(WATCH)
    page.get_by_label("Sign in").get_by_role("button", name="Sign in").click()
    live(page)


def test_an_expired_link_ends_the_view_and_keeps_what_is_on_screen(page: Page, guarded: HubProcess) -> None:
    page.goto(share(guarded, rooms=["support-1"], **{"for": "8s"}))
    expect(page.locator("#conversation")).to_contain_text("said in support-1")
    expect(page.locator("#sign-in-why")).to_have_text("Your access has expired.")
    page.keyboard.press("Escape")
    expect(page.locator("#conversation")).to_contain_text("said in support-1")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_page_from_disk_keeps_the_key_for_its_tab(page: Page, guarded: HubProcess) -> None:
    page.goto(f"{Path(ROOT / 'static' / 'stream-test.html').as_uri()}#hub={guarded.url}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.locator("#sign-in-to")).to_have_text(
        f"The key is sent to {guarded.url}, and kept until this tab is closed."
    )
    enter(page, "not-a-key-000000")
    expect(page.get_by_role("alert").filter(has_text="That is not a key of this hub.")).to_be_visible()
    enter(page, ROBOT)
    expect(page.get_by_role("alert").filter(has_text="robot may not see events.")).to_be_visible()
    enter(page, WATCH)
    live(page)
    expect(page.locator("#conversation")).to_contain_text("said in other")


@pytest.mark.parametrize(
    "path", ["/", "/docs/", "/docs/events", "/docs/errors", "/docs/guide/", "/docs/guide/access", "/nowhere"]
)
def test_no_page_needs_what_its_policy_forbids(page: Page, guarded: HubProcess, path: str) -> None:
    """Nothing inline but what the hub has written, nothing from elsewhere."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    answer = page.goto(f"{guarded.url}{path}")
    assert answer is not None
    if path == "/":
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    if path == "/docs/":
        expect(page.locator(".opblock").first).to_be_visible()
    assert [text for text in complaints if "Content Security Policy" in text] == []
    if "html" in answer.headers["content-type"]:
        rules = answer.headers["content-security-policy"]
        assert "unsafe-inline" not in rules
        assert "frame-ancestors 'none'" in rules
        assert answer.headers["referrer-policy"] == "no-referrer"
        page.evaluate(
            "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s) }"
        )
        assert page.evaluate("window.ran") is None
