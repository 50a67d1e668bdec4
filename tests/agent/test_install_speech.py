"""Local speech is installed when it is first needed: when, where, with which command, and, with stub wheels, really."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent.install_speech import STT, TTS, commands, needed
from event_hub.providers import Providers, gateway_providers

from ..hubs import PATIENCE, ROOT

LOCAL = Providers.of({"AGENT_PROVIDERS": "local"})


@pytest.mark.parametrize(
    ("providers", "flite", "installed", "packages"),
    [
        (LOCAL, False, [], [STT, TTS]),
        (LOCAL, True, [], [STT]),
        (LOCAL, False, [STT], [TTS]),
        (LOCAL, False, [STT, TTS], []),
        (gateway_providers({}), False, [], [STT, TTS]),
        (Providers.of({}), False, [], []),
        (Providers.of({"AGENT_TTS": "local"}), False, [], [TTS]),
        (Providers.of({"AGENT_PROVIDERS": "local", "AGENT_REALTIME": "openai"}), False, [], []),
        (Providers.of({"AGENT_PROVIDERS": "local", "AGENT_STT": "deepgram", "AGENT_TTS": "none"}), False, [], []),
        (Providers(), False, [], []),
    ],
)
def test_only_what_the_chosen_providers_lack_is_installed(
    providers: Providers, flite: bool, installed: list[str], packages: list[str]
) -> None:
    assert needed(providers, flite=flite, installed=installed) == packages


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize("value", ["0", " no ", "OFF", "false"])
def test_nothing_is_installed_where_the_operator_forbids_it(checkout: Path, value: str) -> None:
    environ = {"AGENT_INSTALL_SPEECH": value}
    assert commands([STT], root=checkout, environ=environ, python="python", in_venv=True, uv="uv") == []


def test_nothing_is_installed_into_an_environment_that_others_share(checkout: Path) -> None:
    assert commands([STT], root=checkout, environ={}, python="python", in_venv=False, uv="uv") == []


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_nothing_is_installed_outside_a_checkout(checkout: Path, name: str) -> None:
    (checkout / name).unlink()
    assert commands([STT], root=checkout, environ={}, python="python", in_venv=True, uv=None) == []


def test_uv_is_tried_first_and_both_keep_to_the_constraints(checkout: Path) -> None:
    environ = {"AGENT_INSTALL_SPEECH": "1"}
    first, last = commands([STT, TTS], root=checkout, environ=environ, python="/v/python", in_venv=True, uv="/bin/uv")
    same = ["-c", str(checkout / "constraints.txt"), STT, TTS]
    assert first == ["/bin/uv", "pip", "install", "--python", "/v/python", *same]
    assert last[:3] == ["/v/python", "-m", "pip"]
    assert last[-4:] == same
    assert commands([STT, TTS], root=checkout, environ={}, python="/v/python", in_venv=True, uv=None) == [last]


def _wheel(folder: Path, package: str, module: str) -> None:
    """A wheel of the pinned version whose module is empty."""
    pins = (line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    version = next(version for name, _, version in pins if name == package)
    name = package.replace("-", "_")
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}.py", "")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")


_ENSURE = """
import importlib.util, sys
from agent.failure import Failure
from agent.install_speech import ensure
from event_hub.providers import Providers
try:
    ensure(Providers.of({"AGENT_PROVIDERS": "local"}), lambda text: print(text))
except Failure as failure:
    print("failed:", failure.sentence, failure.code)
print(all(importlib.util.find_spec(name) for name in ("pocketsphinx", "espeakng_loader")))
"""


def test_it_installs_once_and_says_so_or_names_the_command(tmp_path: Path) -> None:
    """In a virtual environment of its own, with stub wheels and without a network; two agents that start at once."""
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=4 * PATIENCE)
    where = [python, "-c", "import site; print(site.getsitepackages()[0])"]
    site = Path(subprocess.check_output(where, text=True).strip())
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    packages = tmp_path / "packages"  # what the agent needs besides
    packages.mkdir()
    import filelock

    (packages / "filelock").symlink_to(Path(filelock.__file__).parent)
    environ = {
        "PATH": str(tmp_path), "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}",
        "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull,
    }  # fmt: skip

    def ensure(count: int = 1) -> list[str]:
        started = [
            subprocess.Popen(
                [python, "-c", _ENSURE], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(count)
        ]
        return [process.communicate(timeout=4 * PATIENCE)[0] for process in started]

    (failed,) = ensure()
    assert f"failed: The local speech could not be installed (see the log): {python} -m pip install -c " in failed
    assert failed.splitlines()[-1] == "False"
    _wheel(wheels, STT, "pocketsphinx")
    _wheel(wheels, TTS, "espeakng_loader")
    both = ensure(2)
    assert sorted(len(output.splitlines()) for output in both) == [1, 3], both
    assert "installing local speech, once: pocketsphinx and espeakng-loader" in "".join(both)
    assert {output.splitlines()[-1] for output in both} == {"True"}
    assert (site / "pocketsphinx.py").exists()
    assert ensure() == ["True\n"]
