"""A real OpenTelemetry collector gets what the hub knows (issue 18)."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..hubs import HubProcess, until
from ..ports import free_port
from ..recordings.test_uploads import ATTACHED, EVENTS
from .built import collector

_CONFIG = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{file: {{path: {path}, flush_interval: 100ms}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [file]}}
    metrics: {{receivers: [otlp], exporters: [file]}}
"""


@pytest.fixture
def collecting(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A collector that writes what it gets to a file: its port and the file."""
    port, out = free_port(), tmp_path / "collected.jsonl"
    config = tmp_path / "collector.yaml"
    config.write_text(_CONFIG.format(port=port, path=out))
    log = (tmp_path / "collector.log").open("wb")
    process = subprocess.Popen([collector(), "--config", config], stdout=log, stderr=log)
    try:

        def listens() -> bool:
            assert process.poll() is None, (tmp_path / "collector.log").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(listens, "the collector listens", 60)
        yield port, out
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def test_a_real_collector_has_the_turns_and_their_latencies(
    collecting: tuple[int, Path], hub_factory: Callable[..., HubProcess]
) -> None:
    port, out = collecting
    hub = hub_factory(HUB_FORWARD=f"otlp+http://127.0.0.1:{port}").start()
    hub.publish(EVENTS)

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []

    found = until(lambda: len(lines()) >= 2 and lines(), "what the collector has written", 60)
    scopes = [s for line in found for r in line.get("resourceSpans", ()) for s in r["scopeSpans"]]
    spans = {span["name"]: span for scope in scopes for span in scope["spans"]}
    root = spans["invoke_agent weather"]
    attributes = {pair["key"]: next(iter(pair["value"].values())) for pair in root["attributes"]}
    assert attributes["gen_ai.conversation.id"] == ATTACHED
    turns = hub.get(f"/api/sessions/{ATTACHED}")["turns"]
    for turn in turns:
        assert spans[f"turn {turn['number']}"]["parentSpanId"] == root["spanId"]
    metrics = [
        metric
        for line in found
        for resource in line.get("resourceMetrics", ())
        for scope in resource["scopeMetrics"]
        for metric in scope["metrics"]
    ]
    points = [point for metric in metrics for point in metric["histogram"]["dataPoints"]]
    figures = {
        pair["value"]["stringValue"]
        for point in points
        for pair in point["attributes"]
        if pair["key"] == "livekit.figure"
    }
    assert {"e2e_latency", "end_of_turn_delay", "llm_node_ttft", "tts_node_ttfb"} <= figures
