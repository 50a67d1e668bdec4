"""The image and the compose file, as far as they can be tried without Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
import yaml

from agent import settings as agent_settings
from event_hub.server.settings import Settings, seconds

from ..hubs import PATIENCE, ROOT, HubProcess, free_port, until
from ..livekit import built
from .proxies import DEPLOY

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
HUB, AGENT = COMPOSE["services"]["hub"], COMPOSE["services"]["agent"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
SCHEMA = json.loads(Path(__file__).with_name("compose-spec.json").read_text())
"""schema/compose-spec.json of github.com/compose-spec/compose-spec (Apache-2.0)."""


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.M)


def test_the_compose_file_is_valid() -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(COMPOSE)
    for service in COMPOSE["services"].values():
        assert "image" in service
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in COMPOSE["volumes"]
        for name, need in service.get("depends_on", {}).items():
            other = COMPOSE["services"][name]
            assert need["condition"] == "service_started" or "healthcheck" in other or other["image"] == HUB["image"]
    assert (DEPLOY / HUB["build"]["context"]).resolve() == ROOT
    assert (ROOT / HUB["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")


def test_every_variable_exists() -> None:
    known = {*Settings.names(), "HUB_URL"}
    own = {name for name in (*HUB["environment"], *AGENT["environment"]) if name.startswith(("HUB_", "LIVEKIT_"))}
    assert own <= known
    image = {word.partition("=")[0] for line in instructions("ENV") for word in line.split()}
    assert {name for name in image if name.startswith("HUB_")} <= known
    example = set(re.findall(r"^#?([A-Z_]+)=", (DEPLOY / "compose.env.example").read_text(), re.M))
    assert set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text())) == example


def test_the_hub_drains_before_docker_kills() -> None:
    assert seconds(HUB["environment"]["HUB_DRAIN"]) + 2 < seconds(HUB["stop_grace_period"])
    (given,) = re.findall(r"HUB_DRAIN=(\S+)", DOCKERFILE)
    assert seconds(given) + 2 < 10  # `docker stop`
    assert agent_settings.NUMBERS["AGENT_DRAIN"] < seconds(AGENT["stop_grace_period"])


def test_the_hub_names_the_gateway_of_its_network_as_the_proxy() -> None:
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert HUB["environment"]["HUB_PROXIES"] == network["gateway"]


def test_secrets_and_the_history_stay_out_of_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".env", "**/*.env", "var", ".git"} <= set(ignored)


def test_the_image_starts_what_the_package_installs() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (command,) = instructions("CMD")
    assert json.loads(command)[0] in scripts
    (_, module, *arguments) = AGENT["command"][1:]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--help"],
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE * 2,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_images_health_check(hub_factory: Callable[..., HubProcess]) -> None:
    (check,) = re.findall(r"^HEALTHCHECK .* CMD (\[.+\])$", DOCKERFILE, re.M)
    program = json.loads(check)
    assert program[0] == "python3"
    hub = hub_factory()

    def healthy() -> bool:
        command = [sys.executable, *program[1:]]
        done = subprocess.run(command, env=hub.environ, capture_output=True, timeout=PATIENCE, check=False)
        return done.returncode == 0

    assert not healthy()
    hub.start()
    assert healthy()


def test_a_hub_in_the_image_needs_credentials(tmp_path: Path) -> None:
    """Its environment alone does not start a hub that everyone may use."""
    environ = dict(word.split("=", 1) for line in instructions("ENV") for word in shlex.split(line))
    hub = HubProcess(tmp_path, **{name: text for name, text in environ.items() if name.startswith("HUB_")})
    check = [sys.executable, "-m", "event_hub", "serve", "--check"]
    done = subprocess.run(
        check, cwd=ROOT, env=hub.environ, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert "HUB_CONTROL_KEYS" in done.stderr


@pytest.mark.slow
def test_livekit_server_accepts_its_configuration(tmp_path: Path) -> None:
    livekit = COMPOSE["services"]["livekit"]
    port = free_port()
    filled = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "s" * 40, "LIVEKIT_NODE_IP": "127.0.0.1"}

    def fill(text: str) -> str:
        return re.sub(r"\$\{([A-Z_]+)[^}]*\}", lambda match: filled[match[1]], text)

    environ = {name: fill(text) for name, text in livekit["environment"].items()}
    for given, free in (("7880", port), ("7881", free_port()), ("7882", free_port())):
        assert given in environ["LIVEKIT_CONFIG"]
        environ["LIVEKIT_CONFIG"] = environ["LIVEKIT_CONFIG"].replace(given, str(free))
    command = [str(built.server()), *map(fill, livekit["command"])]
    log = tmp_path / "livekit.log"
    with log.open("ab") as output:
        process = subprocess.Popen(command, env={**os.environ, **environ}, stdout=output, stderr=output)
    try:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return requests.get(f"http://127.0.0.1:{port}", timeout=PATIENCE).status_code == 200
            except requests.RequestException:
                return False

        until(answers, "livekit-server")
    finally:
        process.kill()
        process.wait(PATIENCE)
