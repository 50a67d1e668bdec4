"""X18 L17: one README for both examples of the folder; its files exist, and its commands start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from ..gateway.gateways import GatewayProcess
from ..hubs import PATIENCE, ROOT

FOLDER = ROOT / "examples" / "voice_agents" / "websocket_text_streaming"
README = (FOLDER / "README.md").read_text()
COMMANDS = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"^```bash\n(.*?)^```", README, re.M | re.S)
    for line in block.splitlines()
]
STARTS = [command for command in COMMANDS if re.match(r"uv run (python )?\w+\.py", command)]


def environment() -> dict[str, str]:
    """Without keys and settings."""
    clean = {k: v for k, v in os.environ.items() if not re.match(r"HUB_|LIVEKIT_|AGENT_|OPENAI_|GATEWAY_|PORT|WS_", k)}
    return {**clean, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "HUB_URL": "http://127.0.0.1:9"}


def run(*arguments: str, cwd: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd, env=environment(), capture_output=True, text=True, timeout=4 * PATIENCE, check=False,
    )  # fmt: skip


def test_two_sections_and_three_systems() -> None:
    """X18: one README, a section for each of the two documents. L17: pages are opened on three systems."""
    headings = re.findall(r"^## (.*)", README, re.M)
    assert headings == ["Install", "Text streaming", "An LLM behind a WebSocket"]
    for page in ("websocket_client.html", "chat_client.html"):
        assert {f"open {page}", f"xdg-open {page}", f"start {page}"} <= set(COMMANDS)


@pytest.mark.parametrize("name", re.findall(r"^\| \[([\w.]+)\]\(\1\)", README, re.M))
def test_each_file_of_the_table_exists(name: str) -> None:
    assert (FOLDER / name).is_file()


def test_other_files_in_the_folder_are_in_the_table() -> None:
    """README.md itself apart."""
    files = {path.name for path in FOLDER.iterdir() if path.is_file()} - {"README.md", ".env"}
    assert [name for name in sorted(files) if f"[{name}]({name})" not in README] == []


def test_the_commands_are_those_of_the_documents() -> None:
    """W02 L06 L11 T27, to the letter."""
    assert "uv sync --group dev" in COMMANDS
    assert COMMANDS.count(f"cd {FOLDER.relative_to(ROOT).as_posix()}") == 3
    for command in ("python websocket_server.py", "ws_llm_server.py", "agent_example.py dev"):
        assert f"uv run {command}" in COMMANDS
    assert f"uv run pytest {(FOLDER / 'test_streaming_text_output.py').relative_to(ROOT).as_posix()} -v" in COMMANDS


@pytest.mark.parametrize("name", ["websocket_server.py", "ws_llm_server.py"])
def test_the_servers_print_what_the_readme_shows(tmp_path: Path, name: str) -> None:
    """W05 L07: the lines of the document."""
    with GatewayProcess(tmp_path, program=(str(FOLDER / name),)) as server:
        server.ready()
        shown = re.search(rf"uv run (?:python )?{name}\n```\n\n```\n(.*?)```", README, re.S)
        assert shown
        for line in shown[1].splitlines():
            assert line.replace("8765", str(server.port)) in server.output().splitlines()
        assert server.stop() == 0


def test_main_serves_the_voice_page(tmp_path: Path) -> None:
    """V15"""
    assert "`uv run python main.py`" in README
    with GatewayProcess(tmp_path, program=(str(FOLDER / "main.py"),)) as gateway:
        gateway.ready()
        assert "<title>Voice agent" in requests.get(gateway.url, timeout=PATIENCE).text
        assert gateway.stop() == 0


def test_the_demonstration_prints_the_answer() -> None:
    (command,) = [command for command in STARTS if "streaming_text_output.py" in command]
    done = run(*_words(command))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "The weather in San Francisco is sunny, 68°F."


def test_the_provider_asks_the_server(tmp_path: Path) -> None:
    """With the server of the README, on a free port."""
    (command,) = [command for command in STARTS if "ws_llm_provider.py" in command]
    with GatewayProcess(tmp_path, program=(str(FOLDER / "ws_llm_server.py"),)) as server:
        server.ready()
        done = subprocess.run(
            [sys.executable, *_words(command)],
            cwd=FOLDER, env={**environment(), "WS_LLM_URL": f"ws://localhost:{server.port}"},
            capture_output=True, text=True, timeout=4 * PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.split()) > 2


def test_the_agent_names_its_missing_keys(tmp_path: Path) -> None:
    """L18"""
    done = run(str(FOLDER / "agent_example.py"), "dev", cwd=tmp_path)
    assert done.returncode == 1
    assert "DEEPGRAM_API_KEY" in done.stderr.splitlines()[-1]


def _words(command: str) -> list[str]:
    """`uv run python x.py "a b"` → the program and its arguments."""
    import shlex

    words = shlex.split(command.removeprefix("uv run ").removeprefix("python "))
    return [str(FOLDER / words[0]), *words[1:]]
