"""The guide at `/docs/guide/`, from a real hub: every page, every link, and nothing else."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from html import unescape
from urllib.parse import urldefrag

import pytest
import requests

from ..hubs import PATIENCE, ROOT, HubProcess

PAGES = sorted(path.stem for path in (ROOT / "docs").glob("*.md"))


def test_every_page_and_every_link(hub: HubProcess) -> None:
    """From the index, each page in `docs/` is reached, and each link leads to a page and an id that exist."""
    texts: dict[str, str] = {}
    links: set[tuple[str, str]] = set()
    waiting = ["/docs/guide/"]
    while waiting:
        path = waiting.pop()
        if path in texts:
            continue
        answer = requests.get(f"{hub.url}{path}", timeout=PATIENCE)
        assert answer.status_code == 200, path
        html = answer.headers["Content-Type"].startswith("text/html")
        texts[path] = answer.text if html else ""
        if not path.startswith("/docs/guide/"):
            continue
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path
        assert "<script" not in texts[path]
        for target in map(unescape, re.findall(r'<(?:a|img) (?:href|src)="([^"]*)"', texts[path])):
            if not target.startswith(("/", "#")):
                assert re.match(r"https?://", target), f"{path}: {target}"
                continue
            page, fragment = urldefrag(target)
            links.add((page or path, fragment))
            waiting.append(page or path)
    expected = {f"/docs/guide/{name}" for name in PAGES if name != "README"} | {"/docs/guide/", "/docs/guide/readme"}
    assert expected <= set(texts)
    broken = {f"{page}#{fragment}" for page, fragment in links if fragment and f' id="{fragment}"' not in texts[page]}
    assert broken == set()


def test_a_page(hub: HubProcess) -> None:
    answer = requests.get(f"{hub.url}/docs/guide/errors", timeout=PATIENCE)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>Errors – LiveKit Event Hub</title>" in answer.text
    assert '<a id="bad_event"></a>' in answer.text
    assert "generated" not in answer.text.split("<table>")[0]
    assert requests.head(f"{hub.url}/docs/guide/errors", timeout=PATIENCE).status_code == 200


def test_pictures(hub: HubProcess) -> None:
    for name, kind in (("pictures/page.png", "image/png"), ("performance.svg", "image/svg+xml")):
        answer = requests.get(f"{hub.url}/docs/guide/{name}", timeout=PATIENCE)
        assert answer.content == (ROOT / "docs" / name).read_bytes()
        assert answer.headers["Content-Type"].split(";")[0] == kind
        again = {"If-None-Match": answer.headers["ETag"]}
        assert requests.get(f"{hub.url}/docs/guide/{name}", headers=again, timeout=PATIENCE).status_code == 304


def test_the_other_docs_stay(hub: HubProcess) -> None:
    assert requests.get(f"{hub.url}/docs/guide", timeout=PATIENCE).url == f"{hub.url}/docs/guide/"
    assert "swagger" in requests.get(f"{hub.url}/docs/", timeout=PATIENCE).text
    for path in ("/docs/events", "/docs/errors"):
        assert 'href="/docs/guide/"' in requests.get(f"{hub.url}{path}", timeout=PATIENCE).text


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "protocol.md",
        "README",
        "protocol/",
        "../../pyproject.toml",
        "%2e%2e/%2e%2e/pyproject.toml",
        "..%2f..%2fpyproject.toml",
        "..%2fREADME",
        "..%5c..%5cpyproject.toml",
        "%2fetc%2fpasswd",
        "pictures/..%2f..%2fpyproject.toml",
        "pictures",
        "%00",
        "protocol%00.png",
    ],
)
def test_only_the_guide_is_served(hub: HubProcess, path: str) -> None:
    """Sent as it is: clients would tidy up the path."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=PATIENCE) as connection:
        request = f"GET /docs/guide/{path} HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b""
        while received := connection.recv(65536):
            answer += received
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    assert head.startswith("HTTP/1.1 404 "), head
    assert "application/problem+json" in head
    assert b'"code":"not_found"' in answer


def test_on_every_server(hub_factory: Callable[..., HubProcess]) -> None:
    with hub_factory(server="gevent") as hub:
        assert "<h1" in requests.get(f"{hub.url}/docs/guide/", timeout=PATIENCE).text
