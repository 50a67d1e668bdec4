"""Measures what uploads cost others: `python -m bench.uploads [--rounds N] [--save]`.

1,000 subscribers get 20 events a second, with and without an agent that uploads recordings of an hour, one after the other,
in alternation. The hub runs on one core, with the process that decodes the recordings; the load and the uploads on another.
An upload costs others nothing if their p99 stays within what the rounds without uploads vary by.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

from bench.generator import measure
from bench.processes import pinned_to
from bench.scenarios import Load
from bench.servers import HUB_SQLITE, ROOT, Setup, started
from bench.tools import allow_open_files, build_loadgen, cores

SIZE = 54 << 20
"""Bytes of an hour's recording, as LiveKit's agents make it."""
SECONDS = 10
CACHE = ROOT / "var" / "bench"
CALL = ROOT / "tests" / "recordings" / "call" / "recordings-09.multipart"
PAGE = ROOT / "docs" / "recordings.md"
HEADING = "## What an upload costs"
BOUNDARY = "0123456789abcdef0123456789abcdef"


def recording() -> bytes:
    """The sound of a real call, its pages repeated until it has the size of an hour's."""
    whole = CALL.read_bytes()
    sound = whole[whole.index(b"OggS") : whole.rindex(b"\r\n--")]
    pages = [b"OggS" + page for page in sound.split(b"OggS")[1:]]
    head, body, tail = b"".join(pages[:2]), b"".join(pages[2:-1]), pages[-1]
    return head + body * ((SIZE - len(head) - len(tail)) // len(body)) + tail


def upload(url: str, sound: bytes, job: str) -> float:
    """Upload one recording; returns the seconds until it was answered."""
    from livekit.protocol import metrics

    header: bytes = metrics.MetricsRecordingHeader(job_id=job).SerializeToString()
    parts = (("header", "header.binpb", header), ("audio", "recording.ogg", sound))
    pieces = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, file, data in parts
    ]
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=300)
    began = time.monotonic()
    body = b"".join(pieces) + f"--{BOUNDARY}--\r\n".encode()
    connection.request(
        "POST", "/observability/recordings/v0", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    )
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"the hub answers {answer.status}")
    return time.monotonic() - began


def keep_uploading(url: str) -> None:
    """Upload recordings, one after the other, until this process is ended. Prints how long each took."""
    sound = recording()
    number = 0
    while True:
        number += 1
        print(f"{upload(url, sound, f'AJ_{os.getpid()}_{number}'):.3f}", flush=True)


def summary(figures: dict[bool, list[tuple[float, float]]], took: list[float], disturbed: int) -> str:
    """The result in Markdown.

    `figures`: p50 and p99 of each round in milliseconds, without and with uploads. `took`: seconds of each upload.
    `disturbed`: rounds with problems, such as a late load generator: with any, there is no verdict.
    """
    rows = ["| 1,000 subscribers, 20 events a second | p50 | p99 | p99 of the rounds |", "|---|---|---|---|"]
    for uploads, label in ((False, "without uploads"), (True, "with uploads")):
        p50, p99 = zip(*figures[uploads], strict=True)
        spread = f"{min(p99):.2f} – {max(p99):.2f} ms"
        rows.append(f"| {label} | {statistics.median(p50):.2f} ms | {statistics.median(p99):.2f} ms | {spread} |")
    highest = max(p99 for _, p99 in figures[False])
    within = statistics.median(p99 for _, p99 in figures[True]) <= highest
    rounds = len(figures[True])
    if disturbed:
        verdict = f"{disturbed} of {2 * rounds} measurements had problems: measure again on a quiet machine."
    elif rounds == 1:
        verdict = "One round has no spread to compare with."
    else:
        verdict = (
            f"The p99 with uploads is {'within' if within else '**above**'} the spread of the rounds without them."
        )
    return "\n".join(rows) + (
        f"\n\nMedians of {rounds} {'round' if rounds == 1 else 'rounds'} each, in alternation. {verdict}\n"
        f"{len(took)} recordings of {SIZE >> 20} MiB were uploaded, in {statistics.median(took):.2f} s each (median)."
    )


def write(report: str, load: float) -> None:
    """Put the result into docs/recordings.md, as its section on the cost of uploads. `load`: that of the machine before."""
    page = PAGE.read_text()
    before, found, rest = page.partition(f"{HEADING}\n")
    if not found:
        before, rest = f"{page.rstrip()}\n\n", ""
    after = rest[rest.index("\n## ") :] if "\n## " in rest else ""
    text = (
        f"An upload of an hour beside live subscribers, measured with `python -m bench.uploads --save` on {date.today()}\n"  # noqa: DTZ011
        f"({len(os.sched_getaffinity(0))} cores, load average before {load:.1f}):\n\n{report}\n"
    )
    PAGE.write_text(f"{before}{HEADING}\n\n{text}{after}")


def main(arguments: list[str]) -> int:
    """Print both distributions."""
    if arguments[:1] == ["--upload-to"]:
        keep_uploading(arguments[1])
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each kind (%(default)s)")
    parser.add_argument("--save", action="store_true", help="write the result to docs/recordings.md")
    options = parser.parse_args(arguments)
    rounds, save = options.rounds, options.save
    load_before = os.getloadavg()[0]
    server_core, load_core = cores()
    allow_open_files(1000)
    CACHE.mkdir(parents=True, exist_ok=True)
    program = build_loadgen(CACHE)
    load = Load("latency-some", "latency", ("-subs", "1000", "-rate", "20", "-seconds", str(SECONDS)))
    figures: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    took: list[float] = []
    disturbed = 0
    for number in range(rounds):
        for uploads in random.sample([False, True], 2):
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                settings = {"HUB_RECORDINGS": f"{folder}/recordings"}
                setup = Setup([sys.executable, "flask_server.py"], settings, "", "", server_core, Path(folder))
                with started(HUB_SQLITE, setup) as running:
                    uploader = None
                    if uploads:
                        uploader = subprocess.Popen(
                            [sys.executable, "-m", "bench.uploads", "--upload-to", running.url],
                            cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=pinned_to(load_core),
                        )  # fmt: skip
                    finished: list[float] = []
                    try:
                        measurement = measure(program, load_core, load, HUB_SQLITE, running, number)
                        if uploader is not None and uploader.poll() is not None:
                            raise RuntimeError("the uploads ended before the measurement did")
                    finally:
                        if uploader is not None:
                            uploader.terminate()
                            finished = [float(line) for line in uploader.communicate()[0].split()]
                if uploads and not finished:
                    raise RuntimeError("no upload was finished during the measurement")
                took += finished
                disturbed += bool(measurement.problems())
                for problem in measurement.problems():
                    print(f"round {number + 1}: {problem}", flush=True)
                found = measurement.result["latency_ms"]
                figures[uploads].append((found["p50"], found["p99"]))
                what = "with uploads" if uploads else "without"
                print(f"round {number + 1}, {what}: {found['p50']:.2f} ms p50, {found['p99']:.2f} ms p99", flush=True)
    report = summary(figures, took, disturbed)
    print(report)
    if disturbed:
        return 1
    if save:
        write(report, load_before)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
