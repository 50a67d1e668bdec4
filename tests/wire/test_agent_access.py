"""Access to start, stop, logs and tokens: only for programs and pages on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from ..hubs import PATIENCE, HubProcess
from .agents import reaches, started

STRANGERS = [
    "https://evil.example",
    "null",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "file://",
    "",
    "http://[evil",
    "http://a b",
    "ftp://localhost",
    "http://localhost@evil.example",
    "chrome-extension://localhost",
    "https://ops.example.evil.example",
    "https://opsXexample",
]
NEIGHBOURS = ["http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]:5173", "https://app.localhost"]
CONTROL = [
    ("POST", "/api/agent/start"),
    ("POST", "/api/agent/stop"),
    ("GET", "/api/agent/logs"),
    ("POST", "/api/token"),
]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that cannot start agents, because only access is tested."""
    with HubProcess(
        tmp_path_factory.mktemp("quiet"), HUB_AGENT="no-such-program", HUB_CORS_ORIGINS="*,https://ops.example"
    ) as hub:
        yield hub


@pytest.mark.parametrize("origin", STRANGERS)
@pytest.mark.parametrize(("method", "path"), CONTROL)
def test_foreign_pages_are_refused(quiet: HubProcess, origin: str, method: str, path: str) -> None:
    answer = requests.request(method, f"{quiet.url}{path}", headers={"Origin": origin}, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_origin")
    assert "HUB_CORS_ORIGINS" in answer.json()["advice"]


@pytest.mark.parametrize("origin", [*NEIGHBOURS, "https://ops.example", None])
@pytest.mark.parametrize(("method", "path"), CONTROL)
def test_local_pages_listed_origins_and_programs_are_allowed(
    quiet: HubProcess, origin: str | None, method: str, path: str
) -> None:
    answer = requests.request(
        method, f"{quiet.url}{path}", headers={"Origin": origin} if origin else {}, timeout=PATIENCE
    )
    assert answer.status_code in (200, 503)


def test_a_foreign_name_for_this_machine_is_refused(quiet: HubProcess) -> None:
    """DNS rebinding: to the browser, the page has the same origin as the hub."""
    name = f"evil.example:{quiet.port}"
    headers = {"Host": name, "Origin": f"http://{name}"}
    assert requests.post(f"{quiet.url}/api/agent/start", headers=headers, timeout=PATIENCE).status_code == 403
    headers = {"Host": name}
    assert requests.get(f"{quiet.url}/api/agent/logs", headers=headers, timeout=PATIENCE).status_code == 403
    headers = {"Host": "[evil", "Origin": "http://[evil"}
    assert requests.post(f"{quiet.url}/api/agent/start", headers=headers, timeout=PATIENCE).status_code in (400, 403)
    headers = {"Host": f"localhost:{quiet.port}", "Origin": f"http://localhost:{quiet.port}"}
    assert requests.post(f"{quiet.url}/api/agent/stop", headers=headers, timeout=PATIENCE).status_code == 200


def test_a_local_page_can_read_the_response(hub_factory: Callable[..., HubProcess]) -> None:
    """Even if HUB_CORS_ORIGINS does not list it."""
    hub = hub_factory(HUB_CORS_ORIGINS="https://ops.example").start()
    headers = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    preflight = {**headers, "Access-Control-Request-Headers": "content-type"}
    for path in ("/api/agent/start", "/api/agent/stop", "/api/token"):
        answer = requests.options(f"{hub.url}{path}", headers=preflight, timeout=PATIENCE)
        assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
        assert "content-type" in answer.headers["Access-Control-Allow-Headers"].lower()
    answer = requests.post(f"{hub.url}/api/agent/stop", headers=headers, timeout=PATIENCE)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "http://localhost:3000")
    evil = requests.post(f"{hub.url}/api/agent/stop", headers={"Origin": "https://evil.example"}, timeout=PATIENCE)
    assert evil.status_code == 403
    assert "Access-Control-Allow-Origin" not in evil.headers


def test_foreign_pages_see_the_status_without_log_lines(launching: Callable[..., HubProcess]) -> None:
    hub = launching("ready")
    started(hub)
    reaches(hub, "ready")
    answer = requests.get(f"{hub.url}/api/agent/status", headers={"Origin": "https://evil.example"}, timeout=PATIENCE)
    assert answer.json()["agents"][0]["status"] == "ready"
    assert answer.json()["agents"][0]["log"] == []


def test_the_rule_for_pages_applies_to_an_open_hub_too(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_HOST="0.0.0.0", HUB_AUTH="open", HUB_AGENT="no-such-program").start()
    for own, status in (("hub.example.org:5000", 403), (f"localhost:{hub.port}", 200), (f"192.0.2.7:{hub.port}", 200)):
        headers = {"Host": own, "Origin": f"http://{own}"}
        assert requests.post(f"{hub.url}/api/agent/stop", headers=headers, timeout=PATIENCE).status_code == status
        answer = requests.get(f"{hub.url}/api/agent/logs", headers={"Host": own}, timeout=PATIENCE)
        assert answer.status_code == status, "a foreign name may point to this machine (DNS rebinding)"
    no_page = {"Host": "hub.example.org:5000"}
    assert requests.post(f"{hub.url}/api/agent/stop", headers=no_page, timeout=PATIENCE).status_code == 200
    evil = {"Host": "hub.example.org:5000", "Origin": "https://evil.example"}
    assert requests.post(f"{hub.url}/api/agent/stop", headers=evil, timeout=PATIENCE).status_code == 403
    hub.stop()
    hub.environ["HUB_CORS_ORIGINS"] = "*,http://Hub.Example.org:5000/"
    hub.start()
    own = {"Host": "hub.example.org:5000", "Origin": "http://hub.example.org:5000"}
    assert requests.post(f"{hub.url}/api/agent/stop", headers=own, timeout=PATIENCE).status_code == 200


def test_a_listed_origin_is_not_a_pattern(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(HUB_CORS_ORIGINS="https://ops.example,http://[2001:db8::1]:5000").start()
    for path in ("/api/events", "/api/agent/status"):
        for origin in ("https://ops.example", "http://[2001:db8::1]:5000"):
            answer = requests.get(f"{hub.url}{path}", headers={"Origin": origin}, timeout=PATIENCE)
            assert answer.headers["Access-Control-Allow-Origin"] == origin
        for origin in ("https://opsXexample", "https://ops.example.evil.example", "http://2:5000"):
            answer = requests.get(f"{hub.url}{path}", headers={"Origin": origin}, timeout=PATIENCE)
            assert "Access-Control-Allow-Origin" not in answer.headers
