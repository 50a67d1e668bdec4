"""The generated parts of README and docs: `python -m tools.docs` writes them, `--check` tells what has drifted."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from event_hub.events import schema
from event_hub.server.agents import states
from event_hub.server.errors import CATALOGUE
from event_hub.server.settings import Settings
from tools.quotes import quotes

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- generated: {} -->", "<!-- end -->"


def settings_table() -> str:
    rows = [
        f"| `{name}` | {f'`{default}`' if default != 'unset' else 'unset'} | {about} |"
        for name, default, about in Settings.table()
    ]
    return "\n".join(["| name | default | |", "|---|---|---|", *rows])


def errors_page() -> str:
    rows = []
    for kind in CATALOGUE.values():
        anchor, again = f'<a id="{kind.code}"></a>', "yes" if kind.retry else "no"
        rows.append(f"| {anchor}`{kind.code}` | {kind.status} | {kind.title} | {kind.advice} | {again} |")
    return "\n".join(
        [
            "# Errors",
            "",
            "<!-- generated from event_hub/server/errors.py by `make docs` -->",
            "",
            "Every refusal is `application/problem+json` (RFC 9457) with a stable `code`; `detail` says what was wrong this",
            "time, `advice` what to do. `field` names the field or parameter, `index` the event of a batch, counted from 0.",
            "Nothing of a refused request is kept or broadcast. Where it says *try again*, the same request may succeed",
            "later: the answer has a `Retry-After`, and an `event_id` makes sure that nothing is broadcast twice.",
            "",
            "| code | status | what | what to do | try again |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "A request that is not HTTP at all, or has a line or header beyond gunicorn's limits (8190 bytes, 64 headers),",
            "gets gunicorn's own 4xx answer in HTML and a closed connection.",
            "",
        ]
    )


def command_line() -> str:
    """The page of `event-hub`, with what each `--help` says."""
    text = (ROOT / "docs" / "command-line.md").read_text()
    for name in ("serve", "tail", "post", "export"):
        command = [sys.executable, "-m", "event_hub", name, "--help"]
        shown = subprocess.check_output(command, cwd=ROOT, text=True, env={"COLUMNS": "120", "PATH": ""})
        before, _, rest = text.partition(f"<!-- help: {name} -->\n")
        _, _, after = rest.partition(END)
        text = f"{before}<!-- help: {name} -->\n```\n{shown}```\n{END}{after}"
    return text


def with_parts(name: str, parts: dict[str, str]) -> str:
    """The page with each of its generated parts in place."""
    text = (ROOT / name).read_text()
    for part, content in parts.items():
        begin = BEGIN.format(part)
        before, found, rest = text.partition(begin)
        _, _, after = rest.partition(END)
        if not found:
            raise SystemExit(f"{name} has no place for its part {part}: {begin}")
        text = f"{before}{begin}\n{content}\n{END}{after}"
    return text


def generated() -> dict[Path, str]:
    """Each file and what should be in it."""
    return {
        **quotes(),
        ROOT / "README.md": with_parts("README.md", {"settings": settings_table()}),
        ROOT / "docs" / "launcher.md": with_parts(
            "docs/launcher.md", {"states": states.markdown(), "states diagram": states.mermaid()}
        ),
        ROOT / "docs" / "errors.md": errors_page(),
        ROOT / "docs" / "command-line.md": command_line(),
        ROOT / "docs" / "events.md": schema.markdown(),
        ROOT / "docs" / "events.schema.json": json.dumps(schema.document(), indent=1, ensure_ascii=False) + "\n",
    }


def drifted() -> list[str]:
    """The files that are not what they should be."""
    return [
        str(path.relative_to(ROOT))
        for path, text in generated().items()
        if not path.exists() or path.read_text() != text
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something has drifted")
    stale = drifted()
    if parser.parse_args().check:
        print("\n".join(f"{name} has drifted: run `make docs`" for name in stale) or "the docs are up to date")
        return 1 if stale else 0
    for path, text in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    print("\n".join(f"wrote {name}" for name in stale) or "the docs were up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
