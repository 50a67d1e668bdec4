"""What forwarding checks, shows and refuses: signatures, certificates, settings, its folder; nothing secret (H35)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from ..faults.test_history_faults import refused_start
from ..hubs import HubProcess, until
from .receivers import CERTIFICATE, SECRET, Receiver, forwards, receiver
from .test_operations import metrics

Forwarder = Callable[..., HubProcess]


def test_nothing_secret_is_shown(forwarder: Forwarder, there: Receiver, tmp_path: Path) -> None:
    url = there.url.replace("http://", "http://user:hushhush@") + "?token=hushhush"
    hub = forwarder(url, "https://user:hushhush@127.0.0.1:1/?hushhush").start()
    hub.publish({"type": "n", "n": 0})
    there.wait([0])
    assert there.deliveries[0].headers["authorization"].startswith("Basic ")
    until(lambda: forwards(hub)[1]["state"] == "retrying", "the other to fail")
    until(
        lambda: forwards(hub)[0]["lag"] == 0, "the place to be saved"
    )  # by way of a file that is there for an instant
    text = hub.output() + requests.get(f"{hub.url}/metrics").text + json.dumps(hub.get("/api/health"))
    text += json.dumps(hub.get("/api/config"))
    text += "".join(f"{path} {path.read_text()}" for path in (tmp_path / "forward").iterdir())
    assert "hushhush" not in text
    assert SECRET[6:] not in text
    assert f"http://***@localhost:{there.port}/hook?***" in text


def test_a_body_that_was_changed_is_recognised(forwarder: Forwarder, there: Receiver) -> None:
    hub = forwarder(there.url, HUB_FORWARD_SECRET=f"whsec_{'A' * 32} {SECRET}").start()
    hub.publish({"type": "n", "n": 0})
    there.wait([0])  # signed with either, so the receiver that knows the second is content
    (delivery,) = there.deliveries
    Webhook("whsec_" + "A" * 32).verify(delivery.body, delivery.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(delivery.body.replace(b'"n":0', b'"n":1'), delivery.headers)


def test_certificates_are_checked(forwarder: Forwarder, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS from within gevent; one that nobody has signed is refused, and is fine where it is named as trusted."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with receiver(certificate=CERTIFICATE) as there:
        hub = forwarder(there.url).start()
        hub.publish({"type": "n", "n": 0})
        until(lambda: forwards(hub)[0]["state"] == "retrying", "it to be refused")
        assert "its certificate is not trusted: self-signed certificate" in forwards(hub)[0]["error"]
        assert there.deliveries == []
        hub.stop()
        hub.environ["REQUESTS_CA_BUNDLE"] = str(CERTIFICATE)
        hub.start()
        hub.publish({"type": "n", "n": 1})
        there.wait([0, 1])
        assert "Warning" not in hub.output()


def test_wrong_settings_are_told_together(forwarder: Forwarder) -> None:
    code, text = refused_start(forwarder("https://a.example#typ=x", HUB_RING="few", HUB_FORWARD_SECRET="hush"))
    assert code == 2
    assert "do you mean type?" in text
    assert all(f"{name}" in text for name in ("HUB_RING=few", "HUB_FORWARD: ", "HUB_FORWARD_SECRET: "))
    assert "hush" not in text
    code, text = refused_start(forwarder("https://a.example", HUB_FORWARD_SECRET=""), "--check")
    assert code == 2
    assert "set HUB_FORWARD_SECRET=whsec_" in text


def test_a_folder_that_cannot_be_written(forwarder: Forwarder, there: Receiver, tmp_path: Path) -> None:
    """At the start it is told; while running, deliveries wait rather than come twice, and nothing is lost."""
    (tmp_path / "file").write_text("")
    code, text = refused_start(forwarder(there.url, HUB_FORWARD_STATE=str(tmp_path / "file" / "below")))
    assert code == 1
    assert "HUB_FORWARD_STATE" in text
    hub = forwarder(there.url).start()
    (place,) = (tmp_path / "forward").glob("*.json")
    place.unlink()
    place.mkdir()
    hub.publish({"type": "n", "n": 0})
    there.wait([0])
    until(lambda: forwards(hub)[0]["state"] == "retrying", "it to be noticed")
    assert "HUB_FORWARD_STATE" in forwards(hub)[0]["error"]
    hub.publish([{"type": "n", "n": n} for n in range(1, 5)])
    place.rmdir()
    there.wait(list(range(5)))


def test_without_targets_there_is_nothing(forwarder: Forwarder, tmp_path: Path) -> None:
    """No thread, no folder, no library, no word."""
    hub = forwarder("", HUB_FORWARD_SECRET="").start()
    hub.publish({"type": "n"})
    assert "forwards" not in hub.get("/api/health")
    assert not (tmp_path / "forward").exists()
    assert "forward" not in hub.output()
    assert not any("forward" in name for name in metrics(hub))
    worker = psutil.Process(hub.worker_pid())
    assert not any("forward" in file.path for file in worker.open_files())
