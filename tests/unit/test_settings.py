"""Settings: read once, checked together, every wrong one named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from event_hub.server.history import Retention
from event_hub.server.settings import Settings, SettingsError, seconds, size


def load(**environ: str) -> Settings:
    return Settings.load(environ, dotenv=None)


def test_defaults_are_the_designs() -> None:
    settings = load()
    assert (settings.host, settings.port, settings.history) == ("localhost", 5000, "sqlite:///var/hub.db")
    assert settings.addresses == ["127.0.0.1", "::1"]
    assert (settings.heartbeat, settings.stall, settings.drain) == (15, 60, 10)
    assert (settings.max_event, settings.max_body, settings.ring) == (64 * 1024, 8 * 1024**2, 10_000)
    assert settings.kept == Retention(7 * 86400, 10**9)
    assert load(HUB_HISTORY="memory:").kept == Retention(7 * 86400, 64 * 10**6)
    assert load(HUB_RETENTION="2h").kept == Retention(7200, None)
    assert load(HUB_RETENTION="5MB").kept == Retention(None, 5_000_000)


def test_every_wrong_one_is_named_in_one_message() -> None:
    with pytest.raises(SettingsError) as caught:
        load(
            PORT="99999",
            HUB_HOST="0.0.0.0",
            HUB_WORKERS="4",
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
    assert "HUB_WORKERS=1" in str(caught.value)
    assert "HUB_AUTH=open" in str(caught.value)


def test_an_event_must_fit_a_body() -> None:
    with pytest.raises(SettingsError, match="HUB_MAX_BODY"):
        load(HUB_MAX_EVENT="9MiB")


def test_an_address_beyond_loopback_is_open_only_in_so_many_words() -> None:
    with pytest.raises(SettingsError, match="HUB_AUTH=open"):
        load(HUB_HOST="0.0.0.0")
    assert load(HUB_HOST="0.0.0.0", HUB_AUTH="open").addresses == ["0.0.0.0"]
    with pytest.raises(SettingsError, match="HUB_AUTH"):
        load(HUB_AUTH="opne")


def test_keys_that_nobody_would_ask_for_are_refused() -> None:
    """Whoever sets a key believes that the hub is closed."""
    with pytest.raises(SettingsError, match="HUB_PUBLISH_KEYS: this version knows no credentials"):
        load(HUB_PUBLISH_KEYS="secret")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load().port = 1  # type: ignore[misc]


def test_dotenv_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=6000\nHUB_RING=500\nOPENAI_API_KEY=x\nHUB_STALL=\n")
    settings = Settings.load({"PORT": "7000"}, dotenv=file)
    assert (settings.port, settings.ring, settings.stall) == (7000, 500, 60)


def test_a_slip_in_a_name_is_pointed_out() -> None:
    assert Settings.unknown({"HUB_HEARTBEET": "1", "HUB_URL": "x", "HUB_RING": "9", "HOME": "/"}, dotenv=None) == [
        "HUB_HEARTBEET is no setting; do you mean HUB_HEARTBEAT?"
    ]


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
def test_what_is_neither(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)
    with pytest.raises(ValueError):
        size(text)


def test_what_the_file_limit_allows() -> None:
    settings = load()
    assert settings.subscriber_limit(20_064) == 16_000
    assert settings.connection_limit(20_064) == 4_000
    assert settings.subscriber_limit(70) >= 1
    assert load(HUB_MAX_SUBSCRIBERS="5").subscriber_limit(20_000) == 5


def test_the_agents_settings() -> None:
    settings = load(HUB_AGENT="python 'my agent.py'", HUB_AGENT_GRACE="1m", PATH="/bin")
    assert (settings.agent, settings.agent_state, settings.agent_grace) == ("python 'my agent.py'", "var/agents", 60)
    assert dict(settings.environ) == {"HUB_AGENT": "python 'my agent.py'", "HUB_AGENT_GRACE": "1m", "PATH": "/bin"}
    with pytest.raises(SettingsError, match="HUB_AGENT=python 'x: is no command line"):
        load(HUB_AGENT="python 'x")


def test_livekits_settings_and_a_secret_that_is_never_shown() -> None:
    settings = load(LIVEKIT_URL="wss://x.livekit.cloud", LIVEKIT_API_SECRET="hush")
    assert settings.livekit_missing == ["LIVEKIT_API_KEY"]
    assert "hush" not in repr(settings) + str(settings) + settings.model_dump_json()
    with pytest.raises(SettingsError, match="LIVEKIT_URL=livekit.example: is no LiveKit server") as caught:
        load(LIVEKIT_URL="livekit.example", LIVEKIT_API_SECRET="hush")
    assert "hush" not in str(caught.value)


def test_where_a_program_on_this_machine_finds_the_hub() -> None:
    for host, url in (("localhost", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")):
        assert load(HUB_HOST=host, HUB_AUTH="open").loopback_url(5001) == f"http://{url}:5001"


def test_origins_are_as_browsers_send_them() -> None:
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
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match="HUB_CORS_ORIGINS"):
        load(HUB_CORS_ORIGINS=origin)


@pytest.mark.parametrize("command", ["agent \udcff", "agent \0", "'open"])
def test_a_command_line_that_cannot_be_written_is_refused(command: str) -> None:
    with pytest.raises(SettingsError, match="is no command line"):
        load(HUB_AGENT=command)
