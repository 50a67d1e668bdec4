"""Settings are read once and checked together, and every wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from event_hub.server.history import Retention
from event_hub.server.serving.preflight import shown_history
from event_hub.server.settings import Settings, SettingsError, seconds, size


def load(**environ: str) -> Settings:
    return Settings.load(environ, dotenv=None)


def test_defaults_match_the_design() -> None:
    settings = load()
    assert (settings.host, settings.port, settings.history) == ("localhost", 5000, "sqlite:///var/hub.db")
    assert settings.addresses == ["127.0.0.1", "::1"]
    assert (settings.heartbeat, settings.stall, settings.drain) == (15, 60, 10)
    assert (settings.max_event, settings.max_body, settings.ring) == (64 * 1024, 8 * 1024**2, 10_000)
    assert settings.effective_retention == Retention(7 * 86400, 10**9)
    assert load(HUB_HISTORY="memory:").effective_retention == Retention(7 * 86400, 64 * 10**6)
    assert load(HUB_RETENTION="2h").effective_retention == Retention(7200, None)
    assert load(HUB_RETENTION="5MB").effective_retention == Retention(None, 5_000_000)


def test_one_message_names_every_wrong_setting() -> None:
    with pytest.raises(SettingsError) as caught:
        load(
            PORT="99999",
            HUB_HOST="0.0.0.0",
            HUB_WORKERS="none",
            HUB_HISTORY="postgres://x",
            HUB_RETENTION="7d,soon",
            HUB_RING="few",
            HUB_HEARTBEAT="0",
            HUB_MAX_EVENT="9MiB",
            HUB_MAX_BODY="huge",
            HUB_TAKEOVER="yes",
            HUB_CORS_ORIGINS="example.org",
            HUB_MAX_SUBSCRIBERS="-1",
        )
    lines = str(caught.value).splitlines()
    named = {line.split("=")[0] for line in lines}
    assert named == {
        "PORT", "HUB_AUTH", "HUB_WORKERS", "HUB_HISTORY", "HUB_RETENTION", "HUB_RING", "HUB_HEARTBEAT", "HUB_MAX_BODY",
        "HUB_TAKEOVER", "HUB_CORS_ORIGINS", "HUB_MAX_SUBSCRIBERS",
    }  # fmt: skip
    assert "HUB_AUTH=open" in str(caught.value)


def test_several_processes_need_a_history_that_they_share() -> None:
    """H20"""
    assert load(HUB_WORKERS="1").history == "sqlite:///var/hub.db"
    assert load(HUB_WORKERS="2").history == "valkey:///var/valkey"
    assert load(HUB_WORKERS="2", HUB_HISTORY="rediss://h:1/2").history == "rediss://h:1/2"
    for url in ("memory:", "sqlite:///var/hub.db"):
        with pytest.raises(SettingsError, match="HUB_WORKERS=2.*HUB_HISTORY=redis://"):
            load(HUB_WORKERS="2", HUB_HISTORY=url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h:0", "redis://h:99999", "redis://a,b", "redis://h/x", "redis://h?color=red", "redis://h?prefix=a{b}", "unix://h/p",
        "unix://", "redis+sentinel://h", "redis+cluster://h/1", "redis://a b", "redis://:password@h:0", "redis://h:6379/0/1",
    ],
)  # fmt: skip
def test_a_wrong_address_of_a_server_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="HUB_HISTORY") as caught:
        load(HUB_HISTORY=url)
    assert "password" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    settings = load(HUB_HISTORY="redis://user:password@h:6380/3?prefix=ours")
    assert "password" not in repr(settings)
    assert shown_history(settings.history) == "redis://h:6380/3?prefix=ours"


def test_max_body_must_exceed_max_event() -> None:
    with pytest.raises(SettingsError, match="HUB_MAX_BODY"):
        load(HUB_MAX_EVENT="9MiB")


def test_a_host_beyond_loopback_requires_hub_auth_open() -> None:
    with pytest.raises(SettingsError, match="HUB_AUTH=open"):
        load(HUB_HOST="0.0.0.0")
    assert load(HUB_HOST="0.0.0.0", HUB_AUTH="open").addresses == ["0.0.0.0"]
    with pytest.raises(SettingsError, match="HUB_AUTH"):
        load(HUB_AUTH="opne")


def test_credentials_are_required_with_keys_and_beyond_loopback() -> None:
    assert not load().access_required
    assert not load(LIVEKIT_API_KEY="k", LIVEKIT_API_SECRET="s").access_required  # a developer's agent needs these
    assert load(HUB_SUBSCRIBE_KEYS="a:secret1").access_required
    assert load(HUB_AUTH="required", HUB_CONTROL_KEYS="a:secret1").access_required
    assert load(HUB_HOST="0.0.0.0", HUB_PUBLISH_KEYS="a:secret1").access_required
    assert load(HUB_HOST="0.0.0.0", LIVEKIT_API_KEY="k", LIVEKIT_API_SECRET="s").access_required
    with pytest.raises(SettingsError, match="HUB_CONTROL_KEYS=me:"):
        load(HUB_AUTH="required")
    with pytest.raises(SettingsError, match="open would ignore the keys"):
        load(HUB_AUTH="open", HUB_PUBLISH_KEYS="a:secret1")


@pytest.mark.parametrize("name", ["HUB_PUBLISH_KEYS", "HUB_SUBSCRIBE_KEYS", "HUB_CONTROL_KEYS"])
@pytest.mark.parametrize(
    "keys",
    ["s3cr3t-x", "ci:", "ci:s3cr", "ci:s3cr3t-x@", "ci:s3cr3t-x@a||b", ":s3cr3t-x", "a b:s3cr3t-x", "ci:s3cr3t x",
     "ci:s3cr3t-é", "ci:s3cr3t-x@" + "*a" * 20, "ci:s3cr3t-x@" + "a" * 300, "a:s3cr3t-x,b:s3cr3t-x"],
)  # fmt: skip
def test_a_wrong_key_is_refused_without_its_secret(name: str, keys: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**{name: keys})
    assert "s3cr3t" not in str(caught.value)
    assert "_KEYS" in str(caught.value) or "the keys" in str(caught.value)


def test_keys_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\npublish ci:secret1@room-*|a\n\nsubscribe w:secret2\n")
    entries = load(HUB_KEYS_FILE=str(file), HUB_CONTROL_KEYS="me:secret3").keys()
    assert [(e.right, e.label) for e in entries] == [("control", "me"), ("publish", "ci"), ("subscribe", "w")]
    assert "secret1" not in repr(entries)
    for text, message in (("read a:secret1", "line 1: must start with"), ("\npublish a", "line 2: a key is")):
        file.write_text(text)
        with pytest.raises(SettingsError, match=message):
            load(HUB_KEYS_FILE=str(file))
    with pytest.raises(SettingsError, match="cannot be read"):
        load(HUB_KEYS_FILE=str(tmp_path / "none"))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load().port = 1  # type: ignore[misc]


def test_dotenv_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=6000\nHUB_RING=500\nOPENAI_API_KEY=x\nHUB_STALL=\n")
    settings = Settings.load({"PORT": "7000"}, dotenv=file)
    assert (settings.port, settings.ring, settings.stall) == (7000, 500, 60)


def test_misspelled_names_get_a_suggestion() -> None:
    assert Settings.unknown({"HUB_HEARTBEET": "1", "HUB_URL": "x", "HUB_RING": "9", "HOME": "/"}, dotenv=None) == [
        "HUB_HEARTBEET is not a setting; did you mean HUB_HEARTBEAT?"
    ]


MISTYPED = [
    ("HUB_CONTROL_KEY", "HUB_CONTROL_KEYS"), ("HUB_SUBSCRIBE_KEY", "HUB_SUBSCRIBE_KEYS"),
    ("HUB_PUBLISH_KEY", "HUB_PUBLISH_KEYS"), ("HUB_PUBLISHKEYS", "HUB_PUBLISH_KEYS"), ("HUB_KEY_FILE", "HUB_KEYS_FILE"),
    ("HUB_KEYFILE", "HUB_KEYS_FILE"), ("HUB_KEYS", "HUB_KEYS_FILE"), ("HUB_AUTHS", "HUB_AUTH"), ("HUB_AUHT", "HUB_AUTH"),
    ("HUB_OAUTH", "HUB_AUTH"), ("HUB_AUTHENTICATION", "HUB_AUTH"), ("hub_auth", "HUB_AUTH"), ("Hub_Keys_File", "HUB_KEYS_FILE"),
    ("HUB_CORS_ORIGIN", "HUB_CORS_ORIGINS"), ("HUB_CORS", "HUB_CORS_ORIGINS"), ("HUB_CONTORL_KYES", "HUB_CONTROL_KEYS"),
    ("HUB_ADMIN_KEY", ""), ("HUB_API_KEY", ""), ("HUB_READ_KEYS", ""), ("HUB_ALLOWED_ORIGINS", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "meant"), MISTYPED)
def test_a_mistyped_setting_that_restricts_access_is_refused(name: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**{name: "me:s3cr3t-of-mine-1", "HUB_STALL": "never"})
    assert f"{name}: is not a setting; did you mean {meant}" in str(caught.value)
    assert "HUB_STALL" in str(caught.value), "one message names everything"
    assert "s3cr3t" not in str(caught.value)
    file = tmp_path / ".env"
    file.write_text(f"{name}=me:s3cr3t-of-mine-1\n")
    with pytest.raises(SettingsError, match=name):
        Settings.load({}, dotenv=file)
    assert not load(**{name: " "}).access_required, "empty counts as unset"


@pytest.mark.parametrize(
    "name",
    ["HUB_KEY", "HUB_URL", "hub_key", "HUB_PATH", "HUB_AUTHOR_X_PORT", "HUBSPOT_API_KEY", "HUB_PORT", "HUB_TOKENIZER",
     "HUB_MONKEY", "HUB_SERVICE_HOST", "HUB_AUTH_SERVICE_PORT_HTTP", "HUB_KEYS_PORT_80_TCP_ADDR", "GITHUB_KEY", "HUB_HOTS"],
)  # fmt: skip
def test_other_names_do_not_stop_the_hub(name: str) -> None:
    assert not load(**{name: "tcp://10.0.0.1:80"}).access_required


@pytest.mark.parametrize("secret", ["secret", "secret1", "a-secret-of-at-least-32-characters"])
def test_a_public_livekit_secret_is_refused_beyond_loopback(secret: str) -> None:
    livekit = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": secret}
    for more in ({}, {"HUB_AUTH": "required"}, {"HUB_CONTROL_KEYS": "me:secret-of-mine-1"}):
        with pytest.raises(SettingsError, match="LIVEKIT_API_SECRET: this secret is public") as caught:
            load(HUB_HOST="0.0.0.0", **livekit, **more)
        assert "generate-keys" in str(caught.value)
        assert load(**livekit, **more), "on loopback it is fine"
    assert load(HUB_HOST="0.0.0.0", HUB_AUTH="open", **livekit), "there it signs no credentials"
    assert load(HUB_HOST="0.0.0.0", LIVEKIT_API_SECRET=secret, HUB_CONTROL_KEYS="me:secret-of-mine-1")
    assert load(HUB_HOST="0.0.0.0", LIVEKIT_API_KEY="devkey", LIVEKIT_API_SECRET=f"{secret}-of-our-own")


@pytest.mark.parametrize(
    ("text", "value"), [("15", 15), ("1.5m", 90), ("7d", 604800), ("250ms", 0.25), (" 2 h ", 7200)]
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("5", 5), ("64KiB", 65536), ("1GB", 10**9), ("1.5 mb", 1_500_000), ("7b", 7)]
)
def test_sizes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["", "x", "-1s", "1y", "1 2", "∞", "1e3s"])
def test_malformed_durations_and_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)
    with pytest.raises(ValueError):
        size(text)


def test_the_file_limit_determines_the_connection_limits() -> None:
    settings = load()
    assert settings.subscriber_limit(20_064) == 16_000
    assert settings.connection_limit(20_064) == 4_000
    assert settings.subscriber_limit(70) >= 1
    assert load(HUB_MAX_SUBSCRIBERS="5").subscriber_limit(20_000) == 5


def test_agent_settings() -> None:
    settings = load(HUB_AGENT="python 'my agent.py'", HUB_AGENT_GRACE="1m", PATH="/bin")
    assert (settings.agent, settings.agent_state, settings.agent_grace) == ("python 'my agent.py'", "var/agents", 60)
    assert dict(settings.environ) == {"HUB_AGENT": "python 'my agent.py'", "HUB_AGENT_GRACE": "1m", "PATH": "/bin"}
    with pytest.raises(SettingsError, match="HUB_AGENT=python 'x: is not a command line"):
        load(HUB_AGENT="python 'x")


def test_livekit_settings_hide_the_secret() -> None:
    settings = load(LIVEKIT_URL="wss://x.livekit.cloud", LIVEKIT_API_SECRET="hush")
    assert settings.livekit_missing == ["LIVEKIT_API_KEY"]
    assert "hush" not in repr(settings) + str(settings) + settings.model_dump_json()
    with pytest.raises(SettingsError, match="LIVEKIT_URL=livekit.example: is not a LiveKit server") as caught:
        load(LIVEKIT_URL="livekit.example", LIVEKIT_API_SECRET="hush")
    assert "hush" not in str(caught.value)


def test_the_loopback_url() -> None:
    for host, url in (("localhost", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")):
        assert load(HUB_HOST=host, HUB_AUTH="open").loopback_url(5001) == f"http://{url}:5001"


def test_origins_are_normalised_as_browsers_send_them() -> None:
    settings = load(HUB_CORS_ORIGINS="*, https://Ops.Example:443/ ,http://a.example:80,http://[::1]:5000,null")
    assert settings.cors_origins == ("*", "https://ops.example", "http://a.example", "http://[::1]:5000", "null")


@pytest.mark.parametrize(
    "origin",
    [
        "https://*.example.org",
        "https://example.org/path",
        "https://user@example.org",
        "https://a b",
        "ftp://example.org",
        "example.org",
        "https://example.org:port",
        "https://ex(a|b)mple.org",
        "https://[evil",
    ],
)
def test_malformed_origins_are_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match="HUB_CORS_ORIGINS"):
        load(HUB_CORS_ORIGINS=origin)


@pytest.mark.parametrize("command", ["agent \udcff", "agent \0", "'open"])
def test_malformed_command_lines_are_refused(command: str) -> None:
    with pytest.raises(SettingsError, match="is not a command line"):
        load(HUB_AGENT=command)
