"""Webhook signatures: Standard Webhooks' own library accepts them, and invalid secrets are refused (H35)."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from event_hub.server.forward.signing import keys, new_secret, signatures
from event_hub.server.forward.webhook import retry_after


def headers(secret: str, body: bytes, at: int | None = None) -> dict[str, str]:
    at = int(time.time()) if at is None else at
    signature = signatures(keys(secret), "msg_x-1_x-2", at, body)
    return {"webhook-id": "msg_x-1_x-2", "webhook-timestamp": str(at), "webhook-signature": signature}


def test_the_standards_published_example() -> None:
    """The example used by the standard's own libraries."""
    text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = signatures(keys(text), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(min_size=24, max_size=64), st.text())
def test_the_standards_library_verifies_our_signatures(key: bytes, text: str) -> None:
    body = text.encode("utf-8", "replace")
    secret = "whsec_" + base64.b64encode(key).decode()
    Webhook(secret).verify(body, headers(secret, body), json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers(secret, body), json_parse=False)


def test_old_or_foreign_signatures_fail_verification() -> None:
    secret, other = new_secret(), new_secret()
    for wrong in (headers(other, b"{}"), headers(secret, b"{}", int(time.time()) - 3600)):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(b"{}", wrong)


def test_during_key_rotation_both_secrets_verify() -> None:
    old, new = new_secret(), new_secret()
    signed = headers(f"{new}\n {old}", b"{}")
    assert len(signed["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(b"{}", signed)


def test_new_secrets_are_unique_and_long() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(keys(secret)[0]) for secret in secrets} == {32}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hushhushhush", "secret 1 does not start with whsec_"),
        ("whsec_hush!", "secret 1 is not valid base64"),
        ("whsec_aHVzaA==", "secret 1 has 4 bytes"),
        ("whsec_" + base64.b64encode(b"hush" * 17).decode(), "secret 1 has 68 bytes"),
        (f"whsec_{'A' * 32} whsec_aHVzaA==", "secret 2 has 4 bytes"),
        ("whsec_", "secret 1 has 0 bytes"),
        ("whsec_hüsh", "secret 1 is not valid base64"),
    ],
)
def test_refusals_of_invalid_secrets_do_not_reveal_them(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        keys(text)
    assert message in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "aHVza" not in str(caught.value)


def test_base64_padding_is_optional() -> None:
    secret = "whsec_" + base64.b64encode(b"x" * 25).decode()
    assert keys(secret.rstrip("=")) == keys(secret)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("3", 3),
        (" 120 ", 120),
        ("0", 0),
        ("99999999999999999999", 3600),
        ("Sat, 21 Nov 2026 18:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 17:00:00 GMT", 0),
        ("Sat, 21 Nov 2099 17:00:00 GMT", 3600),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("²", None),
        ("Sat, 99 Nov 2026 18:00:30 GMT", None),
    ],
)
def test_retry_after(text: str, wait: float | None) -> None:
    """Seconds or a date, capped at an hour. `now` is 18:00 on 21 November 2026."""
    assert retry_after(text, 1795284000.0) == wait
