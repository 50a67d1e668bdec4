"""Writes the generated parts of README and docs: `python -m tools.docs`. With `--check`, it only lists outdated files."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from event_hub.events import schema
from event_hub.server.access.needs import ROUTES, Need
from event_hub.server.agents import states
from event_hub.server.errors import CATALOGUE
from event_hub.server.http import openapi
from event_hub.server.settings import Settings
from tools import gateway_docs
from tools.quotes import filled, quotes

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "examples" / "voice_agents" / "websocket_text_streaming"
COPIED = ("websocket_client.html", "chat_client.html")
"""Pages of the gateway that the example has too, to be opened from disk."""
BEGIN, END = "<!-- generated: {} -->", "<!-- end -->"


def settings_table() -> str:
    rows = [
        f"| `{name}` | {f'`{default}`' if default != 'unset' else 'unset'} | {about} |"
        for name, default, about in Settings.table()
    ]
    return "\n".join(["| name | default | |", "|---|---|---|", *rows])


def needs_table() -> str:
    """What each route needs, from the table by which the hub checks it."""
    needs = {
        Need.PUBLISH: "publish, in the room of each event",
        Need.SUBSCRIBE: "subscribe; shows what the caller may see",
        Need.CONTROL: "control",
        Need.NOTHING: "nothing",
    }
    rows = [
        f"| `{method} {path.replace('<name:', '<').replace('<path:', '<')}` | {needs[need]} |"
        for (method, path), need in sorted(ROUTES.items(), key=lambda row: list(needs).index(row[1]))
    ]
    return "\n".join(["| route | needs |", "|---|---|", *rows])


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
            "Look up an error by its `code`, to find out what it means and what to do:",
            "",
            "```json",
            '{"code": "bad_json", "status": 400, "detail": "…", "advice": "…", "type": "/docs/errors#bad_json"}',
            "```",
            "",
            "Every error response is `application/problem+json` (RFC 9457). `detail` says what was wrong with the request,",
            "and `advice` how to fix it. `field` names the field or parameter, and `index` the event in a batch, counted",
            "from 0. A refused request stores and broadcasts nothing. If *retry* is *yes*, the same request may succeed",
            "later: the response has a `Retry-After` header, and with an `event_id` no event is broadcast twice.",
            "",
            "| code | status | meaning | what to do | retry |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "A request that is not valid HTTP, or that exceeds gunicorn's limits (8190 bytes per line or header, 64",
            "headers), gets `bad_request` with gunicorn's status, and the connection is closed.",
            "",
        ]
    )


def command_line() -> str:
    """The page of the command line, with the output of each `--help`."""
    text = (ROOT / "docs" / "command-line.md").read_text()
    for name in ("serve", "tail", "post", "sessions", "export", "share", "forget", "whoami"):
        command = [sys.executable, "-m", "event_hub", name, "--help"]
        shown = subprocess.check_output(command, cwd=ROOT, text=True, env={"COLUMNS": "120", "PATH": ""})
        before, _, rest = text.partition(f"<!-- help: {name} -->\n")
        _, _, after = rest.partition(END)
        text = f"{before}<!-- help: {name} -->\n```\n{shown}```\n{END}{after}"
    return text


def spread(value: Any, depth: int) -> str:
    """As JSON, with a line for each member down to `depth`, so that changes of different operations can be merged."""
    if not depth or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    members = (f"{json.dumps(name)}: {spread(member, depth - 1)}" for name, member in value.items())
    return "{\n" + ",\n".join(members) + "\n}"


def with_parts(name: str, parts: dict[str, str]) -> str:
    """The page with its generated parts and quotes filled in."""
    text = filled((ROOT / name).read_text())
    for part, content in parts.items():
        begin = BEGIN.format(part)
        before, found, rest = text.partition(begin)
        _, _, after = rest.partition(END)
        if not found:
            raise SystemExit(f"{name} lacks the marker for its generated part: {begin}")
        text = f"{before}{begin}\n{content}\n{END}{after}"
    return text


def generated() -> dict[Path, str]:
    """Maps each file to its up-to-date text."""
    return {
        **quotes(),
        ROOT / "README.md": with_parts("README.md", {"settings": settings_table()}),
        ROOT / "docs" / "access.md": with_parts("docs/access.md", {"needs": needs_table()}),
        ROOT / "docs" / "launcher.md": with_parts(
            "docs/launcher.md", {"states": states.markdown(), "states diagram": states.mermaid()}
        ),
        ROOT / "docs" / "gateway.md": with_parts(
            "docs/gateway.md",
            {
                "endpoints": gateway_docs.endpoints(),
                "settings": gateway_docs.settings(),
                "errors": gateway_docs.errors(),
            },
        ),
        ROOT / "docs" / "gateway-protocols.md": with_parts(
            "docs/gateway-protocols.md", {"protocols": gateway_docs.protocols()}
        ),
        ROOT / "docs" / "errors.md": errors_page(),
        ROOT / "docs" / "command-line.md": command_line(),
        **{PAGES / name: (ROOT / "static" / "gateway" / name).read_text() for name in COPIED},
        ROOT / "docs" / "events.md": schema.markdown(),
        ROOT / "docs" / "openapi.json": spread(openapi.describe(), 3) + "\n",
        ROOT / "docs" / "events.schema.json": json.dumps(schema.document(), indent=1, ensure_ascii=False) + "\n",
    }


def drifted() -> list[str]:
    """The files that are out of date."""
    return [
        str(path.relative_to(ROOT))
        for path, text in generated().items()
        if not path.exists() or path.read_text() != text
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    stale = drifted()
    if parser.parse_args().check:
        print("\n".join(f"{name} is out of date: run `make docs`" for name in stale) or "The docs are up to date.")
        return 1 if stale else 0
    for path, text in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    print("\n".join(f"Wrote {name}" for name in stale) or "The docs were already up to date.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
