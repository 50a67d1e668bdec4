"""`event-hub serve`: the same hub as `python flask_server.py`, from any folder and from a wheel."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from ..hubs import PATIENCE, ROOT, free_port, until
from .commands import EVENT_HUB, environ

PAGE = (ROOT / "static" / "stream-test.html").read_bytes()
PICTURE = (ROOT / "docs" / "pictures" / "page.png").read_bytes()


@contextmanager
def serving(folder: Path, *command: str, code: int = 0, **more: str) -> Iterator[str]:
    """Start a hub in `folder`; it must end with `code` on SIGTERM."""
    port = free_port()
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ(PORT=str(port), **more),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return requests.get(f"{url}/api/health", timeout=5).ok
        except requests.RequestException:
            return False

    try:
        until(ready, "the hub", 3 * PATIENCE)
        yield url
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == code
        assert "Traceback" not in log.read_text()
        assert "Warning" not in log.read_text()  # gevent warns when it patches too late
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)


def check_complete(url: str) -> None:
    """The page and its modules are served, and an event is accepted."""
    assert requests.get(url, timeout=PATIENCE).content == PAGE
    assert requests.get(f"{url}/static/stream-test.html", timeout=PATIENCE).content == PAGE
    for path in (ROOT / "static").rglob("*"):
        if path.is_file():
            name = path.relative_to(ROOT / "static").as_posix()
            assert requests.get(f"{url}/static/{name}", timeout=PATIENCE).content == path.read_bytes()
    for page in ("", "readme", "protocol"):
        guide = requests.get(f"{url}/docs/guide/{page}", timeout=PATIENCE)
        assert (guide.status_code, "<h1" in guide.text) == (200, True), page
    assert requests.get(f"{url}/docs/guide/pictures/page.png", timeout=PATIENCE).content == PICTURE
    answer = requests.post(f"{url}/api/agent/data", json={"type": "test"}, timeout=PATIENCE)
    assert answer.json()["status"] == "ok"


@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
def test_from_another_folder(tmp_path: Path, server: str) -> None:
    with serving(tmp_path, EVENT_HUB, "serve", "--server", server) as url:
        check_complete(url)
    assert (tmp_path / "var" / "hub.db").exists()  # relative to the working directory


def test_the_other_ways_to_start(tmp_path: Path) -> None:
    with serving(tmp_path, sys.executable, "-m", "event_hub", "serve", HUB_HISTORY="memory:") as url:
        check_complete(url)
    with serving(tmp_path, sys.executable, str(ROOT / "flask_server.py"), HUB_HISTORY="memory:") as url:
        check_complete(url)
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert list(lines) == ["web", "gateway"]
    words = lines["web"].split()
    gunicorn = str(Path(EVENT_HUB).parent / words[0])
    with serving(tmp_path, gunicorn, *words[1:], "--chdir", str(ROOT), HUB_HISTORY="memory:") as url:
        check_complete(url)


@pytest.mark.timeout(600)
def test_a_wheel_has_the_page(tmp_path: Path) -> None:
    """Built without network access, installed where the checkout is not importable."""
    try:
        version = int(importlib.metadata.version("setuptools").split(".")[0])
    except importlib.metadata.PackageNotFoundError:
        version = 0
    if version < 77:
        pytest.skip("building needs setuptools 77, which is not installed here")
    source, wheels, venv = tmp_path / "source", tmp_path / "wheels", tmp_path / "venv"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("agent", "docs", "event_hub", "static"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "flask_server.py"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = [*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(wheels), str(source)]
    subprocess.run(build, check=True, timeout=PATIENCE * 4)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=PATIENCE * 2)
    python = str(venv / "bin" / "python")
    (wheel,) = wheels.glob("*.whl")
    install = [*pip, "--python", python, "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, timeout=PATIENCE * 2)
    # Its dependencies come from this environment, but not this environment's editable install of the hub.
    site = subprocess.check_output([python, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()
    Path(site, "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    where = "import event_hub; print(event_hub.__file__)"
    assert subprocess.check_output([python, "-c", where], text=True, cwd=folder).startswith(site)
    with serving(folder, str(venv / "bin" / "event-hub"), "serve") as url:
        check_complete(url)
        done = subprocess.run(
            [venv / "bin" / "event-hub", "tail", "--no-follow", "--json"],
            env=environ(HUB_URL=url),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.stdout.startswith('{"type":"test"')
        assert requests.post(f"{url}/api/agent/start", timeout=PATIENCE).status_code == 202
        until(
            lambda: requests.get(f"{url}/api/agent/status", timeout=PATIENCE).json()["status"] == "ready",
            "the agent",
            3 * PATIENCE,
        )


def test_the_list_of_packages_is_complete() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = (ROOT / "agent", ROOT / "event_hub")
    found = (path.parent.relative_to(ROOT).parts for folder in folders for path in folder.rglob("__init__.py"))
    assert sorted(listed) == sorted([*(".".join(parts) for parts in found), "event_hub.docs", "event_hub.static"])


def test_a_failed_start_is_explained(tmp_path: Path) -> None:
    for more, code, text in (
        ({"PORT": "no"}, 2, "PORT=no"),
        ({"PORT": "0", "HUB_HISTORY": "sqlite:////nowhere/at/all/hub.db"}, 1, "The hub does not start"),
    ):
        done = subprocess.run(
            [EVENT_HUB, "serve", "--check"],
            cwd=tmp_path,
            env=environ(**more),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if text == "The hub does not start" and os.geteuid() == 0:
            continue  # root may write anywhere
        assert (done.returncode, text in done.stderr) == (code, True), done.stderr


def test_the_port_option_overrides_the_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        busy = str(listener.getsockname()[1])
        for option, setting, code in ((busy, "0", 1), ("0", busy, 0), ("65536", "0", 2)):
            done = subprocess.run(
                [EVENT_HUB, "serve", "--check", "--port", option],
                cwd=tmp_path,
                env=environ(PORT=setting),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            assert done.returncode == code, done.stderr
            assert (busy in done.stderr) == (code == 1), done.stderr
