"""The hub's settings: read once at start, from the environment and `.env`, checked together, then frozen."""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from .forward import signing
from .forward.targets import WEBHOOK, Target
from .forward.targets import parse as parse_targets
from .history import Retention
from .units import seconds as seconds
from .units import size as size

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
RESERVED_FDS = 64
"""Descriptors that are neither subscribers nor requests: listeners, the history, logs, libraries."""

LIVEKIT_NAMES = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
"""What a LiveKit server is reached by, under LiveKit's own names."""

_ELSEWHERE = frozenset(
    {"HUB_URL", "HUB_KEY", "HUB_AGENT_ID", "HUB_AGENT_MODE", "HUB_AGENT_ROOM", "HUB_AGENT_INSTRUCTIONS"}
)
"""Names that publishers and agents read."""
_NOT_YET = frozenset({"HUB_PUBLISH_KEYS", "HUB_SUBSCRIBE_KEYS", "HUB_CONTROL_KEYS", "HUB_RATE_LIMIT"})
"""Whoever sets one of these relies on it: better not to start than to be open."""
_UNTOLD = frozenset({"HUB_FORWARD", "HUB_FORWARD_SECRET"})
"""Settings whose values no message repeats."""


class SettingsError(ValueError):
    """Some settings are wrong; the text names every one, each on its own line."""


def _retention(text: Any) -> Retention:
    age: float | None = None
    limit: int | None = None
    for part in filter(None, (part.strip() for part in str(text).split(","))):
        try:
            if age is None and not part.lower().endswith("b"):
                age = seconds(part)
            elif limit is None:
                limit = size(part)
            else:
                raise ValueError
        except ValueError:
            raise ValueError("is no retention: write an age, a size, or both, such as 7d,1GB") from None
    return Retention(age, limit)


def _switch(text: Any) -> bool:
    if str(text).lower() not in ("0", "1"):
        raise ValueError("is neither 0 nor 1")
    return str(text) == "1"


ORIGIN = re.compile(r"(https?)://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.IGNORECASE)
"""Scheme, host and port of an origin, as browsers write it: names of other alphabets in ASCII (`xn--…`)."""
_USUAL = {"http": "80", "https": "443"}


def _origins(text: Any) -> tuple[str, ...]:
    return tuple(_origin(part.strip().rstrip("/")) for part in str(text).split(",") if part.strip())


def _origin(text: str) -> str:
    """As browsers send it: in lower case, without the usual port."""
    if text in ("*", "null"):
        return text
    if "*" in text:
        raise ValueError(f"{text!r}: there is no * within an origin: name each one, or write * alone for all")
    found = ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no origin: write https://example.org, several with commas, or *")
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    return f"{scheme}://{host}" + (f":{int(port)}" if port and port != _USUAL[scheme] else "")


def _history(text: str) -> str:
    if text != "memory:" and not (text.startswith("sqlite:///") and len(text) > len("sqlite:///")):
        raise ValueError("is no history: write memory: or sqlite:///var/hub.db")
    return text


def _forward(text: SecretStr) -> SecretStr:
    parse_targets(text.get_secret_value())
    return text


def _forward_secret(text: SecretStr) -> SecretStr:
    signing.keys(text.get_secret_value())
    return text


def _command(text: str) -> str:
    try:
        text.encode()  # not so where a byte of the environment is no UTF-8
        if "\0" not in text and shlex.split(text):
            return text
    except ValueError:
        pass
    raise ValueError("is no command line: write python my_agent.py, with quotes that are closed")


def _livekit(text: str) -> str:
    if not re.fullmatch(r"(wss?|https?)://[^/\s]+(/\S*)?", text):
        raise ValueError("is no LiveKit server: write wss://your-project.livekit.cloud or ws://localhost:7880")
    return text


Duration = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
Size = Annotated[int, BeforeValidator(size), Field(gt=0)]


def _setting(name: str, default: Any, about: str, **limits: Any) -> Any:
    return Field(default, alias=name, description=about, validate_default=True, **limits)


class Settings(BaseModel):
    """Every setting, its default and why. `Settings.load()` reads them."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    host: str = _setting("HUB_HOST", "localhost", "address to listen on; `localhost` is 127.0.0.1 and ::1")
    port: int = _setting("PORT", 5000, "port to listen on (on macOS, AirPlay sits on 5000)", ge=0, le=65535)
    workers: int = _setting(
        "HUB_WORKERS", 1, "server processes; one holds 10,000 subscribers, more need a shared history", ge=1
    )
    history: Annotated[str, AfterValidator(_history)] = _setting(
        "HUB_HISTORY",
        "sqlite:///var/hub.db",
        "where events are kept: `sqlite:///path`, or `memory:` for as long as the hub runs",
    )
    retention: Annotated[Retention, BeforeValidator(_retention)] | None = _setting(
        "HUB_RETENTION", None, "how long and how much is kept, age and size; unset: `7d,1GB`, in memory `7d,64MB`"
    )
    ring: int = _setting("HUB_RING", 10_000, "events that a slow subscriber can be behind before it has a gap", ge=10)
    ring_bytes: Size = _setting("HUB_RING_BYTES", "64MiB", "what those events may take in memory")
    heartbeat: Duration = _setting(
        "HUB_HEARTBEAT", "15s", "a subscriber that had nothing for so long gets a heartbeat; proxies cut at 30 to 60 s"
    )
    stall: Duration = _setting(
        "HUB_STALL", "60s", "a subscriber that takes nothing for so long is dropped (it resumes when it comes back)"
    )
    drain: Duration = _setting(
        "HUB_DRAIN", "10s", "what an orderly shutdown may take; container platforms kill after 10 to 30 s"
    )
    body_timeout: Duration = _setting("HUB_BODY_TIMEOUT", "30s", "what the body of a POST may take to arrive")
    max_event: Size = _setting("HUB_MAX_EVENT", "64KiB", "size of one event as JSON")
    max_body: Size = _setting("HUB_MAX_BODY", "8MiB", "size of the body of a POST")
    max_subscribers: int | None = _setting(
        "HUB_MAX_SUBSCRIBERS", None, "open streams; unset: what the file limit allows less 20 %", ge=1
    )
    max_globs: int = _setting(
        "HUB_MAX_GLOBS",
        1000,
        "different patterns with `*` that are watched at once: each event may be compared with every one",
        ge=0,
    )
    takeover: Annotated[bool, BeforeValidator(_switch)] = _setting(
        "HUB_TAKEOVER",
        "1",
        "take a stream's socket over from gunicorn; 0: stream through WSGI (slower, for comparison)",
    )
    auth: Literal["open"] | None = _setting(
        "HUB_AUTH",
        None,
        "`open`: anybody who reaches the port may read, post and start agents; needed for any address but loopback",
    )
    cors_origins: Annotated[tuple[str, ...], BeforeValidator(_origins)] = _setting(
        "HUB_CORS_ORIGINS",
        "*",
        "origins whose pages may read the stream and post, with commas; only those that are named, and pages of this "
        "machine, may also start and stop agents, read their logs and get tokens",
    )
    agent: Annotated[str, AfterValidator(_command)] = _setting(
        "HUB_AGENT",
        "python -m agent",
        "the program that `/api/agent/start` starts; any of yours that calls `attach` will do (`python` is the hub's own)",
    )
    agent_state: str = _setting(
        "HUB_AGENT_STATE", "var/agents", "folder for the agents' logs, and by which the next hub finds running agents"
    )
    agent_grace: Duration = _setting(
        "HUB_AGENT_GRACE", "10s", "what an agent may take to stop before it is killed: enough for a goodbye"
    )
    agent_name: str = _setting(
        "AGENT_NAME",
        "",
        "the name that our worker registers under; unset: LiveKit sends it to every room",
        max_length=256,
    )
    forward: Annotated[SecretStr, AfterValidator(_forward)] | None = _setting(
        "HUB_FORWARD", None, "where events are forwarded to: URLs of webhook receivers and files, with spaces between"
    )
    forward_secret: Annotated[SecretStr, AfterValidator(_forward_secret)] | None = _setting(
        "HUB_FORWARD_SECRET", None, "signs what is sent to webhook receivers: `whsec_` and base64; never shown"
    )
    forward_state: str = _setting(
        "HUB_FORWARD_STATE", "var/forward", "folder in which the hub keeps how far each of those targets has got"
    )
    livekit_url: Annotated[str, AfterValidator(_livekit)] | None = _setting(
        "LIVEKIT_URL", None, "your LiveKit server, for agents, tokens and webhooks"
    )
    livekit_key: str | None = _setting("LIVEKIT_API_KEY", None, "its API key")
    livekit_secret: SecretStr | None = _setting("LIVEKIT_API_SECRET", None, "its API secret; never shown")
    _environ: Mapping[str, str] = PrivateAttr(default_factory=lambda: MappingProxyType({}))

    # Rules on a field each, not on the whole, so that one message names everything that is wrong.

    @field_validator("workers")
    @classmethod
    def _one_worker(cls, workers: int) -> int:
        if workers > 1:
            raise ValueError(
                "more than one worker needs a history that they share, and this version has none: set HUB_WORKERS=1"
            )
        return workers

    @field_validator("auth")
    @classmethod
    def _open_on_purpose(cls, auth: str | None, info: ValidationInfo) -> str | None:
        host = info.data.get("host")
        if auth is None and host is not None and host not in LOOPBACK:
            raise ValueError(
                f"with HUB_HOST={host} anybody who reaches that address could read every conversation: say "
                "HUB_AUTH=open if that is what you want, or keep HUB_HOST=localhost behind a proxy that asks who it is"
            )
        return auth

    @field_validator("max_body")
    @classmethod
    def _room_for_one_event(cls, body: int, info: ValidationInfo) -> int:
        if body < info.data.get("max_event", 0):
            raise ValueError("is less than HUB_MAX_EVENT")
        return body

    @field_validator("forward_secret")
    @classmethod
    def _signed(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        forward = info.data.get("forward")
        targets = parse_targets(forward.get_secret_value()) if forward else ()
        if secret is None and any(target.kind == WEBHOOK for target in targets):
            raise ValueError(
                "what is sent to webhook receivers is signed, and they need the same secret to check it: set "
                f"HUB_FORWARD_SECRET={signing.new_secret()} (this one is new and nobody else's)"
            )
        return secret

    @property
    def targets(self) -> tuple[Target, ...]:
        """Where events are forwarded to."""
        return parse_targets(self.forward.get_secret_value()) if self.forward else ()

    @property
    def addresses(self) -> list[str]:
        """Where to listen."""
        return ["127.0.0.1", "::1"] if self.host == "localhost" else [self.host]

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the hub."""
        host = "localhost" if self.host in ("localhost", "0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment that the settings were read from, with `.env` below it: what agents inherit."""
        return self._environ

    def loopback_url(self, port: int) -> str:
        """Where a program on this machine finds the hub, whatever it listens on; `port`: the one it was given."""
        host = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def livekit_missing(self) -> list[str]:
        """Which of LiveKit's settings are not set."""
        values = (self.livekit_url, self.livekit_key, self.livekit_secret)
        return [name for name, value in zip(LIVEKIT_NAMES, values, strict=True) if value is None]

    @property
    def kept(self) -> Retention:
        """The retention in force."""
        return self.retention or Retention(7 * 86400, 64_000_000 if self.history == "memory:" else 1_000_000_000)

    def subscriber_limit(self, descriptors: int) -> int:
        """How many streams may be open where the process may have `descriptors` open files."""
        return self.max_subscribers or max(1, (descriptors - RESERVED_FDS) * 4 // 5)

    def connection_limit(self, descriptors: int) -> int:
        """How many other requests may be under way: what the streams leave."""
        return max(8, descriptors - RESERVED_FDS - self.subscriber_limit(descriptors))

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
        """Read the settings; raises `SettingsError` that names every wrong one. What is empty counts as unset."""
        values = cls._given(environ, dotenv)
        lines = [
            f"{name}: this version knows no credentials and no rate limits" for name in sorted(_NOT_YET & values.keys())
        ]
        known = cls.names()
        given = {name: values[name].strip() for name in known if (values.get(name) or "").strip()}
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                text = one["msg"].removeprefix("Value error, ")
                place = str(one["loc"][0])  # of a default it is the field's name, not the setting's
                name = str(cls.model_fields[place].alias) if place in cls.model_fields else place
                value = "" if name in _UNTOLD else f"={given.get(name, '')}"
                lines.append(f"{name}{value}: {text[:1].lower()}{text[1:]}")
        if lines:
            raise SettingsError("\n".join(lines))
        settings._environ = MappingProxyType({name: value for name, value in values.items() if value is not None})
        return settings

    @staticmethod
    def _given(environ: Mapping[str, str] | None, dotenv: Path | None) -> dict[str, Any]:
        values: dict[str, Any] = dict(dotenv_values(dotenv)) if dotenv and dotenv.is_file() else {}
        values.update(os.environ if environ is None else environ)
        return values

    @classmethod
    def names(cls) -> list[str]:
        return [str(field.alias) for field in cls.model_fields.values()]

    @classmethod
    def unknown(cls, environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> list[str]:
        """One sentence for each `HUB_…` name that means nothing: most likely a slip."""
        known = {*cls.names(), *_ELSEWHERE}
        sentences = []
        for name in sorted(cls._given(environ, dotenv)):
            if name.startswith("HUB_") and name not in known:
                close = difflib.get_close_matches(name, known, 1)
                sentences.append(f"{name} is no setting" + (f"; do you mean {close[0]}?" if close else ""))
        return sentences

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """Name, default and meaning of each setting, for `--help` and the README."""
        rows = []
        for field in cls.model_fields.values():
            default = "unset" if field.default in (None, "") else str(field.default)
            rows.append((str(field.alias), default, field.description or ""))
        return rows
