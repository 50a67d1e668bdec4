"""livekit-client is fetched once, as pinned; where it cannot be had, that is one line and no failure (H17)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tools import livekit_client

from ..hubs import PATIENCE, ROOT, until

PACKAGE = """
import pathlib, sys
assert sys.argv[1] == "ci" and "--ignore-scripts" in sys.argv
print("x", file=open(pathlib.Path(__file__).parent / "calls", "a"))
dist = pathlib.Path("node_modules/livekit-client/dist")
dist.mkdir(parents=True)
for name in ("livekit-client.esm.mjs", "livekit-client.umd.js", "../LICENSE"):
    (dist / name).write_text(name)
"""
"""A program that does what npm does, without a network."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "static").mkdir()
    monkeypatch.setattr(livekit_client, "CACHE", tmp_path / "var" / "livekit-client")
    monkeypatch.setattr(livekit_client, "VENDOR", tmp_path / "static" / "vendor")


def npm(folder: Path, code: str) -> list[str]:
    program = folder / "npm.py"
    program.write_text(code)
    return [sys.executable, "-I", str(program)]


def test_it_is_fetched_once_and_again_when_the_pin_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = npm(tmp_path, PACKAGE)
    vendor = tmp_path / "static" / "vendor"
    for _ in range(2):
        assert livekit_client.install(command) == ""
    assert (tmp_path / "calls").read_text() == "x\n"
    assert {path.name for path in vendor.iterdir()} == {
        "livekit-client.esm.mjs",
        "livekit-client.LICENSE",
        "livekit-client.json",
    }
    (vendor / "livekit-client.esm.mjs").unlink()  # somebody has tidied up
    assert livekit_client.install(command) == ""
    assert (vendor / "livekit-client.esm.mjs").exists()
    assert (tmp_path / "calls").read_text() == "x\n"

    pin = tmp_path / "pin"
    pin.mkdir()
    for name in ("package-lock.json", ".npmrc"):
        (pin / name).write_text("{}")
    (pin / "package.json").write_text('{"dependencies": {"livekit-client": "9.9.9"}}')
    monkeypatch.setattr(livekit_client, "PIN", pin)
    assert livekit_client.install(command) == ""
    assert (tmp_path / "calls").read_text() == "x\nx\n"
    assert json.loads((vendor / "livekit-client.json").read_text())["version"] == "9.9.9"
    assert len(list((tmp_path / "var" / "livekit-client").iterdir())) == 1


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("print('npm error code ENOTFOUND\\nnpm error network request failed'); raise SystemExit(1)", "network request failed"),
        ("raise SystemExit(1)", "it has said nothing"),
        ("import time; time.sleep(60)", "within 0.5 s"),
        ("import sys; sys.stdout.buffer.write(b'npm error \\xff no'); sys.exit(1)", "npm has failed: \ufffd no"),
        ("pass", "No such file"),
    ],
)  # fmt: skip
def test_what_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, sentence: str) -> None:
    monkeypatch.setattr(livekit_client, "PATIENCE", 0.5 if "sleep" in code else 30.0)
    error = livekit_client.install(npm(tmp_path, code))
    assert sentence in error
    assert "\n" not in error
    assert not (tmp_path / "static" / "vendor").exists()
    assert list((tmp_path / "var" / "livekit-client").iterdir()) == []


def test_without_npm_the_command_says_so_and_does_not_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(livekit_client, "_npm", lambda: None)
    assert livekit_client.main() == 0
    output = capsys.readouterr().out
    assert "npm is missing" in output
    assert output.count("\n") == 1


def test_the_pin_is_exact_and_names_no_address() -> None:
    """One version for the page and the tests; where npm fetches from is its user's choice."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", livekit_client.version())
    lock = json.loads((livekit_client.PIN / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages["node_modules/livekit-client"]["version"] == livekit_client.version()
    assert all("integrity" in package and "resolved" not in package for package in packages.values())


def test_an_npm_that_hangs_is_ended_with_all_that_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many an npm is a script that starts Node."""
    monkeypatch.setattr(livekit_client, "PATIENCE", 1.0)
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(61)'])"
    assert "within 1 s" in livekit_client.install(npm(tmp_path, code))
    started = "import time; time.sleep(61)"  # it has had its SIGKILL, and may need a moment to go
    until(
        lambda: not any(started in (one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])),
        "what npm has started to be gone",
    )


def test_what_is_there_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without npm and without var/, the page has Talk all the same; half a file is none."""
    module = tmp_path / "static" / "vendor" / "livekit-client.esm.mjs"
    assert livekit_client.install(npm(tmp_path, PACKAGE)) == ""
    module.write_text("half")
    assert livekit_client.install() == ""
    assert module.read_text() == module.name
    shutil.rmtree(tmp_path / "var")
    monkeypatch.setattr(livekit_client, "_npm", lambda: None)
    capsys.readouterr()
    assert livekit_client.main() == 0
    assert capsys.readouterr().out == ""
    module.write_text("of another version")
    livekit_client.main()
    assert "another livekit-client than the pinned one: npm is missing" in capsys.readouterr().out


def test_several_at_once(tmp_path: Path) -> None:
    """As of two `make run`: each has it in the end, and nothing else is left."""
    npm(tmp_path, PACKAGE)
    code = f"""
import sys
from pathlib import Path
from tools import livekit_client as one
one.CACHE, one.VENDOR = Path({str(tmp_path / "var")!r}), Path({str(tmp_path / "static" / "vendor")!r})
sys.exit(one.install([sys.executable, "-I", {str(tmp_path / "npm.py")!r}]) or 0)
"""
    for _ in range(3):
        shutil.rmtree(tmp_path / "var", ignore_errors=True)
        shutil.rmtree(tmp_path / "static" / "vendor", ignore_errors=True)
        programs = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(4)]
        assert [program.wait(PATIENCE) for program in programs] == [0] * 4
        assert len(list((tmp_path / "var").iterdir())) == 1
        assert len(list((tmp_path / "static" / "vendor").iterdir())) == 3
