"""Installs the libraries of local speech when an agent first needs them, so that `make run` need not wait for 40 MB.

Only into the virtual environment of a checkout, in the versions of its constraints.txt, and not with
AGENT_INSTALL_SPEECH=0. Elsewhere the agent says which command installs them. Imports nothing that has to be installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from event_hub.providers import LOCAL, Choice, Providers

from .failure import UNREACHABLE, Failure

ROOT = Path(__file__).parents[1]
SETTING = "AGENT_INSTALL_SPEECH"
STT, TTS = "pocketsphinx", "espeakng-loader"


def needed(providers: Providers, *, flite: bool, installed: Collection[str]) -> list[str]:
    """The packages that the chosen providers need but that are not installed. With `flite`, which is easier to understand,
    espeak-ng is not needed."""

    def local(choice: Choice | None) -> bool:
        return choice is not None and choice.plugin == LOCAL

    wanted = [STT] * local(providers.stt) + [TTS] * (local(providers.tts) and not flite)
    return [package for package in wanted if package not in installed]


def commands(
    packages: Collection[str], *, root: Path, environ: Mapping[str, str], python: str, in_venv: bool, uv: str | None
) -> list[list[str]]:
    """The commands of which the first that succeeds has installed the packages; none where nothing may be installed: outside
    a virtual environment, which others share, and outside a checkout, whose constraints.txt says which versions.

    `root`: the folder that contains this package. `uv`: the program, if it is present; it is faster than pip.
    """
    constraints = root / "constraints.txt"
    refused = environ.get(SETTING, "").strip().lower() in ("0", "no", "off", "false")
    if refused or not in_venv or not constraints.is_file() or not (root / "pyproject.toml").is_file():
        return []
    what = ["-c", str(constraints), *packages]
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar", "off", *what]
    return [*([[uv, "pip", "install", "--python", python, *what]] if uv else []), pip]


def by_hand() -> str:
    """The command that installs all of it, for a person."""
    python = shlex.quote(sys.executable)
    if (ROOT / "constraints.txt").is_file():
        return f"{python} -m pip install -c {shlex.quote(str(ROOT / 'constraints.txt'))} {STT} {TTS}"
    return f"{python} -m pip install 'livekit-event-hub[local]'"


def ensure(providers: Providers, say: Callable[[str], None]) -> None:
    """Install what the chosen providers need, if that is missing and may be installed; takes some seconds.

    `say`: gets sentences about the progress; the output of pip or uv goes to stderr. Raises Failure with the command for a
    person if it cannot be installed. Where it may not, this does nothing: the part that needs it says so.
    """
    packages = _missing(providers)
    todo = packages and commands(
        packages,
        root=ROOT,
        environ=os.environ,
        python=sys.executable,
        in_venv=sys.prefix != sys.base_prefix,
        uv=shutil.which("uv"),
    )
    if not todo:
        return
    from filelock import FileLock  # two agents may start at once

    with FileLock(Path(sys.prefix) / ".install-speech.lock"):
        packages = _missing(providers)
        if not packages:
            return
        say(f"installing local speech, once: {' and '.join(packages)} (40 MB at most)")
        if not any(_succeeds(command) for command in todo):
            raise Failure(f"The local speech could not be installed (see the log): {by_hand()}", "stt", UNREACHABLE)
        importlib.invalidate_caches()
        say("local speech is installed")


def _missing(providers: Providers) -> list[str]:
    modules = {STT: "pocketsphinx", TTS: "espeakng_loader"}
    installed = [package for package, module in modules.items() if importlib.util.find_spec(module) is not None]
    return needed(providers, flite=shutil.which("flite") is not None, installed=installed)


def _succeeds(command: list[str]) -> bool:
    """Run it with its output on stderr, which is the agent's log."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode == 0
    except OSError:
        return False
