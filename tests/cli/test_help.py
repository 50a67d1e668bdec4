"""The command line as a whole: help, its page in the docs, unknown commands, servers that are not hubs, imports."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from event_hub import __version__

from ..hubs import PATIENCE, ROOT, free_port
from .commands import run

COMMANDS = ("serve", "tail", "post", "sessions", "export", "share", "forget", "whoami")
PAGE = ROOT / "docs" / "command-line.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0
    assert done.stdout == run(name, "-h").stdout
    assert done.stdout.startswith(f"Usage: event-hub {name}")
    if name != "serve":
        assert "Examples:" in done.stdout
        assert "Exit codes:" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 120


@pytest.mark.parametrize("name", COMMANDS)
def test_the_docs_page_has_the_current_help(name: str) -> None:
    """To update it, run `python -m tools.docs`."""
    _, _, rest = PAGE.read_text().partition(f"<!-- help: {name} -->\n```\n")
    assert rest.partition("```\n<!-- end -->")[0] == help_text(name)


def help_text(name: str) -> str:
    return subprocess.check_output(
        [sys.executable, "-m", "event_hub", name, "--help"],
        text=True,
        timeout=PATIENCE,
        env={"COLUMNS": "120", "PATH": ""},
    )


def test_the_group() -> None:
    assert run("--version").stdout == f"event-hub {__version__}\n"
    shown = run("--help").stdout
    assert all(name in shown for name in COMMANDS)
    unknown = run("zzz")
    assert unknown.returncode == 2
    assert (
        "No such command: zzz. The commands are serve, tail, post, sessions, trends, export, share, forget, whoami."
        in unknown.stderr
    )
    assert run("tail", "--unknown").returncode == 2


@pytest.mark.parametrize(("typed", "meant"), [("tial", "tail"), ("session", "sessions"), ("exprot", "export")])
def test_a_mistyped_command_suggests_the_right_one(typed: str, meant: str) -> None:
    done = run(typed, "--json")
    assert done.returncode == 2
    assert f"No such command: {typed}. Did you mean {meant}?" in done.stderr


class _OtherServer(http.server.BaseHTTPRequestHandler):
    """A web server that is not a hub."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def other_server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OtherServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


ALL = (
    ["share", "--room", "demo"],
    ["forget", "--room", "demo", "--yes"],
    ["whoami"],
    ["tail"],
    ["tail", "--no-follow"],
    ["tail", "--no-follow", "--since", "5m"],
    ["post", "test"],
    ["export"],
)


@pytest.mark.parametrize("arguments", ALL)
def test_a_server_that_is_not_a_hub_is_reported(other_server: str, arguments: list[str]) -> None:
    done = run(*arguments, hub=other_server)
    assert done.returncode == 3
    assert "is not a LiveKit Event Hub" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("arguments", ALL)
def test_a_hub_that_is_down_is_reported(arguments: list[str]) -> None:
    done = run(*arguments, hub=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 3
    assert "No hub answers at" in done.stderr
    assert done.stdout == ""


def test_invalid_arguments_are_reported_without_a_hub() -> None:
    done = run("post", "text=hello", hub=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 2
    assert "the type comes first" in done.stderr


def test_commands_that_only_talk_to_a_hub_do_not_import_the_server() -> None:
    code = (
        "import sys; import event_hub.cli.tail, event_hub.cli.post, event_hub.cli.export, event_hub.cli.whoami, event_hub.cli.share; "
        "print([m for m in sys.modules if m.startswith(('event_hub.server', 'flask', 'gevent', 'gunicorn', 'livekit'))])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=PATIENCE) == "[]\n"
