"""Repository-wide rules: docs match the code, required files exist, imports are acyclic, and the wording stays plain."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
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


def test_the_error_catalogue_lists_exactly_the_codes_in_use() -> None:
    source = "\n".join(
        path.read_text() for path in (ROOT / "event_hub" / "server").rglob("*.py") if path.name != "errors.py"
    )
    used = set(re.findall(r'RequestError\(\s*"([a-z_]+)"', source)) | set(
        re.findall(r'"(bad_event|hub_only_type)"', source)
    )
    assert used == set(CATALOGUE)


def test_required_files_and_dependencies_exist() -> None:
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
def test_relative_links_resolve(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), f"{page}: {target}"


def test_documented_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for name in re.findall(r"`make ([a-z]+)", (ROOT / page).read_text()):
            assert re.search(rf"^{name}:", makefile, re.M), f"{page}: make {name}"


def test_source_files_stay_under_400_lines() -> None:
    """House rule 3: a longer file covers two subjects."""
    folders = [("event_hub", "*.py"), ("bench", "*.py"), ("tools", "*.py"), ("static", "*.js")]
    for path in itertools.chain.from_iterable((ROOT / name).rglob(pattern) for name, pattern in folders):
        assert len(path.read_text().splitlines()) <= 400, path


def test_version_option_prints_the_version() -> None:
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


def test_import_graph_has_no_circles() -> None:
    """Module by module, imports for type checking included."""
    graph = grimp.build_graph("event_hub", "agent", cache_dir=None)
    upstream = {module: graph.find_upstream_modules(module) for module in graph.modules}
    circles = {
        tuple(sorted({module, *mutual}))
        for module, imported in upstream.items()
        if (mutual := {other for other in imported if module in upstream[other]})
    }
    assert len(upstream) > 100
    assert not circles, "modules that import each other:\n" + "\n".join(
        " ↔ ".join(circle) for circle in sorted(circles)
    )


def tracked_files() -> list[str]:
    return subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()


UNCHECKED_PROSE = ("CHANGELOG.md", "examples/python_listener/listen_and_post.py")
"""The history of the project, and a script quoted byte for byte from its author."""


def test_stilted_words_stay_rare() -> None:
    """These four are what a literal translation leaves behind. A few uses are good English; more are a relapse."""
    words = re.compile(r"\b(some" + "body|no" + "body|an" + r"ew|has " + r"begun)\b", re.I)
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in tracked_files()
        if name.endswith((".py", ".js", ".mjs", ".jsx", ".md", ".html")) and name not in UNCHECKED_PROSE
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert len(found) <= 10, f"{len(found)} lines to reword:\n" + "\n".join(found)


def test_no_local_paths_or_registry_hosts_are_committed() -> None:
    hosts = "regis" + r"try\.npmjs|proxy\.go" + r"lang|py" + r"pi\.org|files\.python" + r"hosted|deb\.deb" + "ian"
    for name in tracked_files():
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
