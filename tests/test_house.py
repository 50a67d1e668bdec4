"""The house's own rules: the docs are true, the files are there, nothing names what it must not."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from event_hub.server.errors import CATALOGUE
from event_hub.server.settings import Settings
from tools.docs import ROOT, drifted

PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]


def test_generated_docs_are_up_to_date() -> None:
    assert drifted() == [], "run `make docs`"


def test_every_setting_and_error_is_documented() -> None:
    readme = (ROOT / "README.md").read_text()
    assert all(f"| `{name}` |" in readme for name in Settings.names())
    errors = (ROOT / "docs" / "errors.md").read_text()
    assert all(f'<a id="{code}"></a>' in errors for code in CATALOGUE)


def test_every_error_code_is_used_and_every_used_one_is_in_the_catalogue() -> None:
    source = "\n".join(
        path.read_text() for path in (ROOT / "event_hub" / "server").rglob("*.py") if path.name != "errors.py"
    )
    used = set(re.findall(r'HubError\(\s*"([a-z_]+)"', source)) | set(
        re.findall(r'"(bad_event|hub_only_type)"', source)
    )
    assert used == set(CATALOGUE)


def test_the_cards_files_are_there() -> None:
    for name in (
        "pyproject.toml",
        "flask_server.py",
        "static/stream-test.html",
        "tests",
        "Procfile",
        ".ci/run",
        "CHANGELOG.md",
    ):
        assert (ROOT / name).exists(), name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    everything = [*project["dependencies"], *itertools.chain.from_iterable(project["optional-dependencies"].values())]
    named = {re.split(r"[\[>=; ]", dependency)[0] for dependency in everything}
    assert named >= {
        "flask",
        "flask-cors",
        "livekit-agents",
        "livekit-plugins-openai",
        "requests",
        "gunicorn",
        "gevent",
    }


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), f"{page}: {target}"


def test_the_documented_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for name in re.findall(r"`make ([a-z]+)", (ROOT / page).read_text()):
            assert re.search(rf"^{name}:", makefile, re.M), f"{page}: make {name}"


def test_files_own_one_noun() -> None:
    """House rule 3: at 400 lines it is two nouns."""
    folders = [("event_hub", "*.py"), ("bench", "*.py"), ("tools", "*.py"), ("static", "*.js")]
    for path in itertools.chain.from_iterable((ROOT / name).rglob(pattern) for name, pattern in folders):
        assert len(path.read_text().splitlines()) <= 400, path


def test_the_program_knows_itself() -> None:
    done = subprocess.run(
        [sys.executable, "flask_server.py", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    from event_hub import __version__

    assert __version__ in done.stdout


def test_nothing_of_this_machine_is_in_the_repository() -> None:
    hosts = "regis" + r"try\.npmjs|proxy\.go" + r"lang|py" + r"pi\.org|files\.python" + r"hosted|deb\.deb" + "ian"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    for name in tracked:
        path = Path(ROOT / name)
        if path.suffix in {
            ".py",
            ".md",
            ".toml",
            ".txt",
            ".html",
            ".go",
            ".json",
            ".mjs",
            ".js",
            ".jsx",
            ".css",
            ".sh",
        } or path.name in {
            "Makefile",
            "run",
        }:
            text = path.read_text(errors="replace")
            assert not re.search(hosts, text), name
            assert not re.search(r"(^|[^\w./-])/(wo" + r"rk|ro" + r"ot)/", text), name
