"""Run the command line in its own process, with pipes or on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ..hubs import PATIENCE, until

EVENT_HUB = str(Path(sys.executable).parent / "event-hub")


def environ(**more: str) -> dict[str, str]:
    """The environment without a developer's own settings."""
    drop = ("HUB_", "LIVEKIT_", "PORT", "NO_COLOR", "COLUMNS", "LINES")
    return {**{k: v for k, v in os.environ.items() if not k.startswith(drop)}, "TZ": "UTC", **more}


def without_progress(err: str) -> str:
    """Stderr without the progress lines of a command that runs longer than five seconds."""
    return re.sub(r"(?m)^(posted|exported|checked) [\d,]+ events?, [\d,]+/s\n", "", err)


def run(
    *arguments: str, hub: str = "", given: bytes | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for it."""
    done = subprocess.run(
        [EVENT_HUB, *arguments],
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        timeout=PATIENCE * 2,
        env=environ(**({"HUB_URL": hub} if hub else {})),
        cwd=cwd,
    )
    out, err = done.stdout.decode(), without_progress(done.stderr.decode())
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


class Running:
    """A running command. Its output goes to files, so that it never blocks and can be read at any time."""

    def __init__(self, folder: Path, *arguments: str, hub: str = "", stdin: bool = False) -> None:
        self._folder = folder / f"command-{time.monotonic_ns()}"
        self._folder.mkdir()
        with (self._folder / "out").open("wb") as out, (self._folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [EVENT_HUB, *arguments],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environ(**({"HUB_URL": hub} if hub else {})),
            )

    @property
    def out(self) -> str:
        return (self._folder / "out").read_bytes().decode()

    @property
    def err(self) -> str:
        return without_progress((self._folder / "err").read_text())

    def lines(self) -> list[str]:
        """The complete lines of its output so far."""
        return self.out.split("\n")[:-1]

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def write_partial_line(self, data: bytes) -> None:
        """Write the start of a line and wait until the command has read it: by then it has the hub's response to all
        the lines before."""
        self.write(data)
        assert self.process.stdin is not None
        pipe = self.process.stdin.fileno()
        until(lambda: fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) == bytes(4), "the input to be read")

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(PATIENCE)
        assert "Traceback" not in self.err, self.err
        return code

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        if kind is not None:
            print(self.out, self.err)


class Terminal:
    """A command running on its own terminal."""

    def __init__(self, *arguments: str, hub: str, columns: int = 100, **more: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.text = ""
        self.process = subprocess.Popen(
            [EVENT_HUB, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
            env=environ(TERM="xterm-256color", HUB_URL=hub, **more),
        )
        os.close(slave)

    def read(self) -> str:
        """All output so far."""
        while select.select([self._master], [], [], 0)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            self.text += data.decode(errors="replace")
        return self.text

    def until(self, condition: Callable[[str], object], what: str) -> str:
        until(lambda: condition(self.read()), f"{what}; there is {self.text!r}")
        return self.text

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait(self) -> int:
        until(lambda: (self.read(), self.process.poll() is not None)[1], "the command to end")
        self.read()
        return self.process.returncode

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._master)


def screen(text: str) -> list[str]:
    """The lines a terminal shows for `text`: applies line breaks and erasing, ignores colours."""
    lines = [""]
    for part in re.split(r"(\r\n|\r\x1b\[2K|\x1b\[[0-9;]*m)", text):
        if part == "\r\n":
            lines.append("")
        elif part == "\r\x1b[2K":
            lines[-1] = ""
        elif not part.startswith("\x1b["):
            lines[-1] += part
    return lines
