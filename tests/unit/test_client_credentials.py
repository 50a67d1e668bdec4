"""Credentials: which one is used, what is never shown, and when it is renewed."""

from __future__ import annotations

import logging
import os
import time
import traceback
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.client import AccessDenied, AccessEnded, Credential, CredentialUnavailable, Hub, Publisher, subscribe
from event_hub.client import livekit_token as tokens
from event_hub.client.credentials import KeyFile, LiveKitSecret, checked, credential, from_environment, from_livekit

SECRET = "s" * 32


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HUB_KEY", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)


def livekit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_API_KEY", "devkey")
    monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)


def claims(token: str | None) -> dict[str, Any]:
    assert token is not None
    return dict(jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["exp", "iss"]}))


def test_the_given_key_comes_before_the_environments_and_that_before_livekits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert credential().bearer() is None
    livekit(monkeypatch)
    assert credential().livekit and claims(credential().bearer())["iss"] == "devkey"
    monkeypatch.setenv("HUB_KEY", " from-the-environment\n")
    assert (credential().bearer(), credential().source) == ("from-the-environment", "the key in HUB_KEY")
    assert (credential("given").bearer(), credential("given").source) == ("given", "the given key")
    assert credential("from-the-environment").source == "the key in HUB_KEY"
    assert credential(lambda: "called").bearer() == "called"
    mine = Credential()
    assert credential(mine) is mine


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_key_means_none(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    livekit(monkeypatch)
    monkeypatch.setenv("HUB_KEY", "key")
    assert credential(empty).bearer() is None  # explicitly none
    monkeypatch.setenv("HUB_KEY", empty)
    assert from_environment() is None
    assert credential().livekit  # not set


@pytest.mark.parametrize(("key", "secret"), [("devkey", ""), ("", SECRET), ("", "")])
def test_half_of_livekits_settings_is_none(key: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_API_KEY", key)
    monkeypatch.setenv("LIVEKIT_API_SECRET", secret)
    assert from_livekit() is None and credential().bearer() is None


@pytest.mark.parametrize("key", ["two words", "schlüssel", "line\r\nX-Evil: 1", "nul\0", "tab\tbed", "k" * 20_000])
def test_a_key_that_fits_no_header_is_refused_and_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(key)
    for use in (lambda: credential(key), lambda: Hub(key=key), lambda: Publisher(key=key), lambda: subscribe(key=key)):
        with pytest.raises(ValueError, match="a single word of ASCII characters") as caught:
            use()
        assert key not in str(caught.value)
    with pytest.raises(ValueError, match="a single word"):
        credential(f"@{file}")
    with pytest.raises(CredentialUnavailable):
        credential(lambda: key).bearer()


@pytest.mark.parametrize("wrong", [7, b"key", ["key"], {"key": 1}])
def test_another_type_is_no_key(wrong: Any) -> None:
    with pytest.raises(TypeError, match="must be a string or a function"):
        credential(wrong)


@given(st.text(max_size=50))
def test_whatever_passes_fits_a_header(text: str) -> None:
    try:
        key = checked(text, "test")
    except ValueError:
        return
    assert key.isascii() and key.isprintable() and " " not in key


def test_a_key_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first\n")
    found = credential(f"@{file}")
    assert isinstance(found, KeyFile) and str(file) in found.source
    assert (found.bearer(), found.renewed("first")) == ("first", None)
    fresh = tmp_path / "fresh"  # replaced, as a secret of Kubernetes is
    fresh.write_text("other\n")
    fresh.replace(file)
    assert (found.renewed("first"), found.bearer(), found.renewed("other")) == ("other", "other", None)
    file.write_text("third!\n")  # written in place
    os.utime(file, ns=(1, 1))
    assert found.bearer() == "third!"
    for spoilt in (lambda: file.write_text(""), lambda: file.write_text("two words"), file.unlink):
        spoilt()
        assert found.bearer() == "third!"  # it is being replaced
    file.write_text("fourth")
    assert found.bearer() == "fourth"


def test_a_key_file_must_be_readable_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text("\n")
    for name, why in (("missing", "cannot be read: No such file"), ("empty", "is empty"), ("", "cannot be read")):
        with pytest.raises(ValueError, match=why):
            credential(f"@{tmp_path / name}")
    with pytest.raises(ValueError, match="no such home directory"):
        credential("@~an-unknown-user/key")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").write_text("k-1")
    assert credential("@~/mine").bearer() == "k-1"
    with pytest.raises(ValueError, match="write @FILE"):
        credential("@")
    monkeypatch.setenv("HUB_KEY", f"@{tmp_path / 'missing'}")
    with pytest.raises(ValueError, match="cannot be read"):
        Hub()


def test_a_key_function_may_fail() -> None:
    def fail() -> str:
        raise RuntimeError("the password is hunter2")

    with pytest.raises(CredentialUnavailable) as caught:
        credential(fail).bearer()
    assert caught.value.again
    assert "RuntimeError" in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    answers = iter(["a", "a", "b"])
    found = credential(lambda: next(answers))
    assert (found.bearer(), found.renewed("a"), found.renewed("a")) == ("a", None, "b")


def test_livekits_tokens_are_short_and_say_only_what_they_must() -> None:
    any_room = LiveKitSecret("devkey", SECRET)
    found = claims(any_room.bearer())
    assert found["video"] == {"agent": True}
    assert 0 < found["exp"] - time.time() <= tokens.LIFETIME
    assert set(found) == {"iss", "sub", "exp", "video"}
    assert any_room.bearer() == any_room.bearer()
    assert any_room.publishing_only
    one_room = claims(LiveKitSecret("devkey", SECRET, "support *…").bearer())
    assert one_room["video"] == {"agent": True, "room": "support *…"}


def test_a_token_is_made_anew_before_it_expires_also_after_the_clock_was_set_back() -> None:
    now = time.time()
    for made, same in ((now, True), (now - 30, True), (now - 3600, False), (now + 3600, False)):
        token, _ = tokens.signed_token("devkey", SECRET, None, ("old", made))
        assert (token == "old") is same


@given(st.text(max_size=100))
def test_the_expiry_of_nonsense_is_unknown(text: str) -> None:
    assert tokens.expiry(text) is None


def test_the_expiry_of_a_token() -> None:
    assert tokens.expiry(jwt.encode({"exp": 1700000000}, SECRET)) == 1700000000.0
    assert tokens.expiry(jwt.encode({"sub": "x"}, SECRET)) is None
    assert tokens.expiry(jwt.encode({"exp": 1e400}, SECRET)) is None


def test_no_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    livekit(monkeypatch)
    (tmp_path / "key").write_text("hunter2")
    caplog.set_level(logging.DEBUG)
    made = [
        credential("hunter2"),
        credential(lambda: "hunter2"),
        credential(f"@{tmp_path / 'key'}"),
        LiveKitSecret("devkey", "hunter2"),
    ]
    for each in made:
        each.bearer()
        shown = f"{each!r} {each} {each.source} {AccessDenied(401, {}, source=each.source)}"
        assert "hunter2" not in shown
        for client in (Hub("localhost:1", key=each), subscribe("localhost:1", key=each)):
            assert "hunter2" not in repr(client)
            with pytest.raises(Exception) as caught:
                client.post({"type": "test"}) if isinstance(client, Hub) else next(client)
            assert "hunter2" not in "".join(traceback.format_exception(caught.value))
            client.close()
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    ("status", "source", "livekit", "advice"),
    [
        (401, "", False, "Set HUB_KEY to one of the hub's keys."),
        (401, "the key in HUB_KEY", False, "does not accept the key in HUB_KEY: set HUB_KEY to one of its keys"),
        (401, "the token", True, "give it the same LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or set HUB_KEY"),
        (403, "the key in HUB_KEY", False, "The key in HUB_KEY does not allow it: set HUB_KEY to a key that does."),
    ],
)
def test_a_refusal_says_what_to_set(status: int, source: str, livekit: bool, advice: str) -> None:
    problem = {"code": "forbidden", "detail": "ci may not publish to room x", "advice": "Ask the operator."}
    error = AccessDenied(status, problem, source=source, livekit=livekit)
    assert advice in str(error) and "ci may not publish to room x" in str(error)
    assert "Ask the operator" not in str(error)
    assert not error.again


def test_the_end_of_access_says_why() -> None:
    for reason, why in (("token_expired", "has expired"), ("access_revoked", "was revoked")):
        error = AccessEnded("http://hub", reason, "the key in HUB_KEY")
        assert f"The key in HUB_KEY {why} ({reason})" in str(error) and not error.again
