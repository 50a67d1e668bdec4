"""What a hub loads at its start, and what waits until someone asks for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from event_hub.server.http import openapi

from ..hubs import ROOT, HubProcess

_START = """
import json, sys
from event_hub.server.serving.patching import prepare, serving
prepare()
from event_hub.server.serving import gunicorn_config, serve, worker
from event_hub.server.serving.wsgi import app
app.hub()
client = app.test_client()
assert client.get("/api/health").status_code == 200
serving()
"""
_LATER = {
    "apispec": "only `make docs` generates the description of the API",
    "event_hub.server.http.openapi": "likewise",
    "event_hub.events.schema": "likewise",
    "prometheus_client": "until /metrics is read",
    "markdown_it": "until a page of the guide is read",
    "jwt": "until a LiveKit token or a webhook is verified",
    "limits": "until a rate is set",
    "psutil": "until an agent is started",
    "event_hub.server.agents.agent": "likewise",
    "requests": "until a webhook receiver is set",
    "event_hub.redaction": "until HUB_REDACT is set",
    "phonenumbers": "likewise",
    "stdnum": "likewise",
    "re2": "likewise",
    "livekit": "never: it takes seconds",
    "numpy": "likewise",
    "openai": "likewise",
    "aiohttp": "likewise",
    "asyncio": "never: gevent has its own loop",
}
"""Modules that a hub without settings must not have loaded when it has answered its first request, and until when."""


def _python(script: str, folder: Path) -> Any:
    """What the script, run in a process of its own, has printed last, from JSON."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HUB_", "LIVEKIT_", "AGENT_"))}
    environ = {**clean, "HUB_HISTORY": f"sqlite:///{folder}/hub.db", "HUB_AGENT_STATE": f"{folder}/agents"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_fresh_hub_has_loaded_only_what_its_first_answer_needs(tmp_path: Path) -> None:
    loaded = set(_python(f"{_START}\nprint(json.dumps(sorted(sys.modules)))", tmp_path))
    assert {"flask", "gevent", "gunicorn", "event_hub.server.hub"} <= loaded
    assert {name: why for name, why in _LATER.items() if name in loaded} == {}


def test_what_is_loaded_later_works(tmp_path: Path) -> None:
    script = f"""{_START}
paths = ["/metrics", "/openapi.json", "/docs/", "/docs/events", "/docs/errors", "/docs/guide/", "/api/events", "/api/sessions"]
print(json.dumps([client.get(path).status_code for path in paths * 2]))
"""
    assert set(_python(script, tmp_path)) == {200}


def test_the_validator_of_a_type_is_built_at_its_first_event_even_if_many_threads_are_first(tmp_path: Path) -> None:
    script = """
import json, sys, threading
from event_hub.events import HUB_ONLY, KNOWN, InvalidEvent, catalogue, check
before = len(catalogue._validators)
sys.setswitchinterval(1e-6)
start, found = threading.Barrier(8), []
def work():
    start.wait()
    for name, model in KNOWN.items():
        check(model.example)
        model.model_validate(model.example)
        try:
            check({"type": name, "room": 5})
            found.append(f"{name}: a number is no room")
        except InvalidEvent as error:
            if error.field not in ("room", *model.model_fields):
                found.append(f"{name}: {error}")
    for event in ({"type": "my.own"}, {"type": "livekit_room_started"}):
        check(event)
def guarded():
    try:
        work()
    except BaseException as error:
        found.append(repr(error))
threads = [threading.Thread(target=guarded) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps([before, found, sorted(catalogue._validators) == sorted([*KNOWN, "", "livekit_"])]))
"""
    assert _python(script, tmp_path) == [0, [], True]


def test_the_standard_library_is_patched_as_gevent_patches_it(tmp_path: Path) -> None:
    """Also by plugins, which gevent's own package has too: their entry points are read once instead of 25 times."""
    plain = "from gevent import monkey; monkey.patch_all()"
    own = """
from importlib import metadata
read = metadata.entry_points
from event_hub.server.serving.patching import prepare
prepare()
assert metadata.entry_points is read
from gevent import monkey
"""
    shown = """
import json
from zope.event import subscribers
saved = {module: sorted(names) for module, names in monkey.saved.items()}
print(json.dumps([saved, sorted(map(repr, (s.__name__ for s in subscribers)))]))
"""
    assert _python(own + shown, tmp_path) == _python(plain + shown, tmp_path)


def test_garbage_is_collected_again_once_the_hub_serves(tmp_path: Path) -> None:
    script = f"{_START}\nimport gc\nprint(json.dumps([gc.isenabled(), gc.get_freeze_count() > 10_000]))"
    assert _python(script, tmp_path) == [True, True]
    assert _python(script.replace("serving()\n\n", "\n"), tmp_path) == [False, False]


def test_the_description_that_a_hub_serves_is_the_generated_one(hub: HubProcess) -> None:
    """`make docs` writes it; it is out of date if a route, a parameter, an event type or an error has changed since."""
    assert hub.get("/openapi.json") == json.loads(json.dumps(openapi.describe())), "run `make docs`"
