"""Forwarding: signatures, certificates, settings and its state folder are checked, and secrets are never shown (H35)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from ..faults.starts import refused_start
from ..hubs import HubProcess, until
from .receivers import CERTIFICATE, SECRET, Receiver, forwards, receiver

Forwarder = Callable[..., HubProcess]


def test_secrets_appear_in_no_output(forwarder: Forwarder, target: Receiver, tmp_path: Path) -> None:
    url = target.url.replace("http://", "http://user:hushhush@") + "?token=hushhush"
    hub = forwarder(url, "https://user:hushhush@127.0.0.1:1/?hushhush").start()
    hub.publish({"type": "n", "n": 0})
    target.wait([0])
    assert target.deliveries[0].headers["authorization"].startswith("Basic ")
    until(lambda: forwards(hub)[1]["state"] == "retrying", "the other to fail")
    until(lambda: forwards(hub)[0]["lag"] == 0, "the checkpoint to be saved")  # a temporary file exists until then
    text = hub.output() + requests.get(f"{hub.url}/metrics").text + json.dumps(hub.get("/api/health"))
    text += json.dumps(hub.get("/api/config"))
    text += "".join(f"{path} {path.read_text()}" for path in (tmp_path / "forward").iterdir())
    assert "hushhush" not in text
    assert SECRET[6:] not in text
    assert f"http://***@localhost:{target.port}/hook?***" in text


def test_a_changed_body_fails_verification(forwarder: Forwarder, target: Receiver) -> None:
    hub = forwarder(target.url, HUB_FORWARD_SECRET=f"whsec_{'A' * 32} {SECRET}").start()
    hub.publish({"type": "n", "n": 0})
    target.wait([0])  # signed with both secrets, so a receiver that knows only the second accepts it
    (delivery,) = target.deliveries
    Webhook("whsec_" + "A" * 32).verify(delivery.body, delivery.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(delivery.body.replace(b'"n":0', b'"n":1'), delivery.headers)


def test_certificates_are_checked(forwarder: Forwarder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over gevent's TLS, a self-signed certificate is refused, unless REQUESTS_CA_BUNDLE names it as trusted."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with receiver(certificate=CERTIFICATE) as target:
        hub = forwarder(target.url).start()
        hub.publish({"type": "n", "n": 0})
        until(lambda: forwards(hub)[0]["state"] == "retrying", "it to be refused")
        assert "its certificate is not trusted: self-signed certificate" in forwards(hub)[0]["error"]
        assert target.deliveries == []
        hub.stop()
        hub.environ["REQUESTS_CA_BUNDLE"] = str(CERTIFICATE)
        hub.start()
        hub.publish({"type": "n", "n": 1})
        target.wait([0, 1])
        assert "Warning" not in hub.output()


def test_all_wrong_settings_are_reported_at_once(forwarder: Forwarder) -> None:
    code, text = refused_start(forwarder("https://a.example#typ=x", HUB_RING="few", HUB_FORWARD_SECRET="hush"))
    assert code == 2
    assert "do you mean type?" in text
    assert all(f"{name}" in text for name in ("HUB_RING=few", "HUB_FORWARD: ", "HUB_FORWARD_SECRET: "))
    assert "hush" not in text
    code, text = refused_start(forwarder("https://a.example", HUB_FORWARD_SECRET=""), "--check")
    assert code == 2
    assert "set HUB_FORWARD_SECRET=whsec_" in text


def test_an_unwritable_state_folder(forwarder: Forwarder, target: Receiver, tmp_path: Path) -> None:
    """At start, the hub exits with an error. While running, deliveries wait instead of being repeated, and none is lost."""
    (tmp_path / "file").write_text("")
    code, text = refused_start(forwarder(target.url, HUB_FORWARD_STATE=str(tmp_path / "file" / "below")))
    assert code == 1
    assert "HUB_FORWARD_STATE" in text
    hub = forwarder(target.url).start()
    (checkpoint,) = (tmp_path / "forward").glob("*.json")
    checkpoint.unlink()
    checkpoint.mkdir()
    hub.publish({"type": "n", "n": 0})
    target.wait([0])
    until(lambda: forwards(hub)[0]["state"] == "retrying", "the failure to be noticed")
    assert "HUB_FORWARD_STATE" in forwards(hub)[0]["error"]
    hub.publish([{"type": "n", "n": n} for n in range(1, 5)])
    checkpoint.rmdir()
    target.wait(list(range(5)))


def test_without_targets_nothing_is_started(forwarder: Forwarder, tmp_path: Path) -> None:
    """It creates no folder, opens no file, and is absent from health, metrics and the log."""
    hub = forwarder("", HUB_FORWARD_SECRET="").start()
    hub.publish({"type": "n"})
    assert "forwards" not in hub.get("/api/health")
    assert not (tmp_path / "forward").exists()
    assert "forward" not in hub.output()
    assert not any("forward" in name for name in hub.metrics())
    worker = psutil.Process(hub.worker_pid())
    assert not any("forward" in file.path for file in worker.open_files())
