"""livekit-client is fetched once, at the pinned version; if that fails, one line is printed and nothing breaks (H17)."""

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
"""A program that does what npm does, without network access."""


@pytest.fixture(autouse=True)
def temporary_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "static").mkdir()
    monkeypatch.setattr(livekit_client, "CACHE", tmp_path / "var" / "livekit-client")
    monkeypatch.setattr(livekit_client, "VENDOR", tmp_path / "static" / "vendor")


def npm(folder: Path, code: str) -> list[str]:
    program = folder / "npm.py"
    program.write_text(code)
    return [sys.executable, "-I", str(program)]


def test_the_package_is_fetched_again_only_if_the_pin_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    (vendor / "livekit-client.esm.mjs").unlink()  # deleted by the user
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
        ("raise SystemExit(1)", "it printed no message"),
        ("import time; time.sleep(60)", "within 0.5 s"),
        ("import sys; sys.stdout.buffer.write(b'npm error \\xff no'); sys.exit(1)", "npm failed: \ufffd no"),
        ("pass", "No such file"),
    ],
)  # fmt: skip
def test_a_failure_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, sentence: str
) -> None:
    monkeypatch.setattr(livekit_client, "PATIENCE", 0.5 if "sleep" in code else 30.0)
    error = livekit_client.install(npm(tmp_path, code))
    assert sentence in error
    assert "\n" not in error
    assert not (tmp_path / "static" / "vendor").exists()
    assert list((tmp_path / "var" / "livekit-client").iterdir()) == []


def test_missing_npm_is_reported_and_not_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(livekit_client, "_npm", lambda: None)
    assert livekit_client.main() == 0
    output = capsys.readouterr().out
    assert "npm is not installed" in output
    assert output.count("\n") == 1


def test_the_pin_is_an_exact_version_without_a_registry() -> None:
    """The page and the tests use the same version; the user's npm settings choose the registry."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", livekit_client.version())
    lock = json.loads((livekit_client.PIN / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages["node_modules/livekit-client"]["version"] == livekit_client.version()
    assert all("integrity" in package and "resolved" not in package for package in packages.values())


def test_a_hung_npm_is_killed_with_its_child_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """npm is often a script that starts Node."""
    monkeypatch.setattr(livekit_client, "PATIENCE", 1.0)
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(61)'])"
    assert "within 1 s" in livekit_client.install(npm(tmp_path, code))
    child = "import time; time.sleep(61)"  # it has been sent SIGKILL, and may need a moment to end
    until(
        lambda: not any(child in (process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])),
        "npm's child process to end",
    )


def test_an_installed_copy_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page can place calls without npm and without var/; a damaged file is replaced."""
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
    assert "a livekit-client other than the pinned version: npm is not installed" in capsys.readouterr().out


def test_concurrent_installations(tmp_path: Path) -> None:
    """As with two `make run` at the same time: all succeed, and no temporary files remain."""
    npm(tmp_path, PACKAGE)
    code = f"""
import sys
from pathlib import Path
from tools import livekit_client
livekit_client.CACHE, livekit_client.VENDOR = Path({str(tmp_path / "var")!r}), Path({str(tmp_path / "static" / "vendor")!r})
sys.exit(livekit_client.install([sys.executable, "-I", {str(tmp_path / "npm.py")!r}]) or 0)
"""
    for _ in range(3):
        shutil.rmtree(tmp_path / "var", ignore_errors=True)
        shutil.rmtree(tmp_path / "static" / "vendor", ignore_errors=True)
        programs = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(4)]
        assert [program.wait(PATIENCE) for program in programs] == [0] * 4
        assert len(list((tmp_path / "var").iterdir())) == 1
        assert len(list((tmp_path / "static" / "vendor").iterdir())) == 3
