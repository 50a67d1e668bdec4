"""The hub's settings: read once at start from the environment and `.env`, validated together, then frozen."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, cast

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from . import setting_names, setting_values
from .access import livekit_secrets, rates
from .access.key_entries import KeyEntry, Right, needs_access, new_key, parse_list, refuse_duplicates
from .access.rates import Rate, parse_rates
from .agents.modes import AutoStart, parse_autostart
from .forward import signing
from .forward.internal_addresses import Internal, parse_internal
from .forward.targets import WEBHOOK, Target
from .forward.targets import parse as parse_targets
from .history import OWN_VALKEY, Retention
from .observability_settings import Duration, ObservabilitySettings, Size
from .observability_settings import setting as _setting
from .redaction_setting import Redaction
from .setting_values import RoomRetention
from .units import seconds as seconds
from .units import size as size

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
RESERVED_FDS = 64
"""File descriptors for everything but subscribers and requests: listeners, the history, logs, libraries."""

LIVEKIT_NAMES = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
"""How to reach a LiveKit server, under LiveKit's own names."""

_UNTOLD = frozenset(
    (
        "HUB_FORWARD", "HUB_FORWARD_SECRET", "HUB_PUBLISH_KEYS", "HUB_SUBSCRIBE_KEYS", "HUB_CONTROL_KEYS",
        "LIVEKIT_API_SECRET", "HUB_REDACT",
    )
)  # fmt: skip
"""Settings whose values are never printed."""


class SettingsError(ValueError):
    """Some settings are wrong; the text names each, on a line of its own."""


class Settings(ObservabilitySettings):
    """Every setting with its default. `Settings.load()` reads them."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    host: str = _setting("HUB_HOST", "localhost", "address to listen on; `localhost` is 127.0.0.1 and ::1")
    port: int = _setting("PORT", 5000, "port to listen on (on macOS, AirPlay sits on 5000)", ge=0, le=65535)
    history_url: Annotated[SecretStr, AfterValidator(setting_values.history)] = _setting(
        "HUB_HISTORY",
        "sqlite:///var/hub.db",
        "where events are stored: `sqlite:///path`, `memory:` (lost when the hub ends), or `redis://host:6379`, which several "
        "hubs can share (docs/scale.md); unset with HUB_WORKERS=2 or more: a Valkey that the hub starts itself",
    )
    workers: int = _setting(
        "HUB_WORKERS", 1, "server processes that share a history; one serves 10,000 subscribers", ge=1, le=64
    )
    retention: Annotated[Retention, BeforeValidator(setting_values.retention)] | None = _setting(
        "HUB_RETENTION", None, "maximum age and size of the history; unset: `7d,1GB`, or `7d,64MB` in memory"
    )
    room_retention: Annotated[tuple[RoomRetention, ...], BeforeValidator(setting_values.room_retention)] = _setting(
        "HUB_ROOM_RETENTION",
        "",
        "rooms whose events are erased sooner: `support-*:24h,demo:1h`; the first that matches counts",
    )
    ring: int = _setting("HUB_RING", 10_000, "events that a slow subscriber may be behind before it gets a gap", ge=10)
    ring_bytes: Size = _setting("HUB_RING_BYTES", "64MiB", "maximum memory for those events")
    heartbeat: Duration = _setting(
        "HUB_HEARTBEAT",
        "15s",
        "idle time after which a subscriber gets a heartbeat; proxies close idle connections after 30 to 60 s",
    )
    stall: Duration = _setting(
        "HUB_STALL", "60s", "time after which a subscriber that takes nothing is dropped (it can resume)"
    )
    drain: Duration = _setting(
        "HUB_DRAIN", "10s", "maximum time for an orderly shutdown; container platforms kill after 10 to 30 s"
    )
    body_timeout: Duration = _setting("HUB_BODY_TIMEOUT", "30s", "maximum time to receive a request body")
    max_event: Size = _setting("HUB_MAX_EVENT", "64KiB", "maximum size of one event as JSON")
    max_body: Size = _setting("HUB_MAX_BODY", "8MiB", "maximum size of a request body")
    max_subscribers: int | None = _setting(
        "HUB_MAX_SUBSCRIBERS", None, "maximum number of open streams; unset: 80 % of what the file limit allows", ge=1
    )
    max_globs: int = _setting(
        "HUB_MAX_GLOBS",
        1000,
        "maximum number of different patterns with `*` in all open streams, a quarter of it for one client: each event may be "
        "compared with every one",
        ge=0,
    )
    takeover: Annotated[bool, BeforeValidator(setting_values.switch)] = _setting(
        "HUB_TAKEOVER",
        "1",
        "write streams to the socket directly; 0: through WSGI (slower, for comparison)",
    )
    cors_origins: Annotated[tuple[str, ...], BeforeValidator(setting_values.origins)] | None = _setting(
        "HUB_CORS_ORIGINS",
        None,
        "origins, separated by commas, whose pages may use the hub; `*`: all may read and post. Unset: on an open hub all "
        "may read, and pages on this machine may post; where credentials are required, none",
    )
    rate_limit: Annotated[tuple[Rate, ...], BeforeValidator(parse_rates)] = _setting(
        "HUB_RATE_LIMIT", "", "maximum requests per credential, such as `100/s` or `100/s,5000/min`; unset: no limit"
    )
    address_rate_limit: Annotated[tuple[Rate, ...], BeforeValidator(parse_rates)] = _setting(
        "HUB_ADDRESS_RATE_LIMIT", "", "the same per client address, for requests without a credential; unset: no limit"
    )
    credential_subscribers: int | None = _setting(
        "HUB_CREDENTIAL_SUBSCRIBERS", None, "maximum number of open streams per credential", ge=1
    )
    address_subscribers: int | None = _setting(
        "HUB_ADDRESS_SUBSCRIBERS", None, "maximum number of open streams per address", ge=1
    )
    frame_ancestors: Annotated[tuple[str, ...], BeforeValidator(setting_values.origins)] = _setting(
        "HUB_FRAME_ANCESTORS", "", "origins whose pages may show the hub's pages in a frame; unset: none"
    )
    proxies: Annotated[tuple[str, ...], BeforeValidator(setting_values.addresses)] = _setting(
        "HUB_PROXIES",
        "",
        "addresses of reverse proxies, separated by commas, whose `X-Forwarded-For`, `X-Forwarded-Proto` and `SCRIPT_NAME` "
        "headers count; "
        "unset: no such header counts",
    )
    agent: Annotated[str, AfterValidator(setting_values.command)] = _setting(
        "HUB_AGENT",
        "python -m agent",
        "the program that `/api/agent/start` starts: any program that calls `attach` (`python` is the hub's own)",
    )
    agents: Annotated[tuple[AutoStart, ...], BeforeValidator(parse_autostart)] = _setting(
        "HUB_AGENTS",
        "",
        "agents that the hub starts by itself, separated by commas: `worker`, `room:NAME`, `scripted`, `gateway`",
    )
    agent_state: str = _setting(
        "HUB_AGENT_STATE",
        "var/agents",
        "folder for agents' logs and for the records by which the next hub finds running agents",
    )
    agent_grace: Duration = _setting(
        "HUB_AGENT_GRACE", "10s", "time that an agent has to stop before it is killed: long enough to say goodbye"
    )
    agent_name: str = _setting(
        "AGENT_NAME",
        "",
        "the name that our worker registers under; unset: LiveKit dispatches it to every room",
        max_length=256,
    )
    forward: Annotated[SecretStr, AfterValidator(setting_values.forward)] | None = _setting(
        "HUB_FORWARD",
        None,
        "where to forward events: URLs of webhook receivers, files, and collectors (`otlp+http://…`), separated by spaces",
    )
    forward_secret: Annotated[SecretStr, AfterValidator(setting_values.forward_secret)] | None = _setting(
        "HUB_FORWARD_SECRET", None, "signs requests to webhook receivers: `whsec_` and base64; never shown"
    )
    forward_internal: Annotated[Internal, BeforeValidator(parse_internal)] = _setting(
        "HUB_FORWARD_INTERNAL",
        "",
        "names and networks of receivers that may be at internal addresses, such as `crm,*.internal,10.0.0.0/8`; an "
        "address in HUB_FORWARD itself, and `localhost`, need not be listed",
    )
    forward_state: str = _setting(
        "HUB_FORWARD_STATE", "var/forward", "folder for the progress of each forwarding target"
    )
    redact: Redaction = _setting(
        "HUB_REDACT", None, "what to replace in events: `email,phone,card`, … (docs/privacy.md)"
    )
    livekit_url: Annotated[str, AfterValidator(setting_values.livekit_url)] | None = _setting(
        "LIVEKIT_URL", None, "your LiveKit server, for agents, tokens and webhooks"
    )
    livekit_key: str | None = _setting("LIVEKIT_API_KEY", None, "its API key")
    livekit_secret: SecretStr | None = _setting("LIVEKIT_API_SECRET", None, "its API secret; never shown")
    publish_keys: SecretStr | None = _setting(
        "HUB_PUBLISH_KEYS",
        None,
        "keys that may publish, separated by commas: `label:secret`, or `label:secret@room-*|other` for some rooms",
    )
    subscribe_keys: SecretStr | None = _setting("HUB_SUBSCRIBE_KEYS", None, "keys that may read, likewise")
    control_keys: SecretStr | None = _setting("HUB_CONTROL_KEYS", None, "keys that may do everything: `label:secret`")
    keys_file: Annotated[str, AfterValidator(setting_values.keys_file)] | None = _setting(
        "HUB_KEYS_FILE", None, "file with more keys, a line each: `publish ci:secret@room-*`; read again on SIGHUP"
    )
    auth: Literal["open", "required"] | None = _setting(
        "HUB_AUTH",
        None,
        "`required`: every request needs a credential; `open`: everyone who can reach the port may do everything; unset: "
        "required with keys or beyond loopback, otherwise open",
    )
    _environ: Mapping[str, str] = PrivateAttr(default_factory=lambda: MappingProxyType({}))

    # Each rule is on one field, so that one message names everything that is wrong.

    @field_validator("workers")
    @classmethod
    def _share_a_history(cls, workers: int, info: ValidationInfo) -> int:
        return setting_values.workers(workers, info.data.get("history_url"))

    @field_validator("publish_keys", "subscribe_keys", "control_keys")
    @classmethod
    def _are_keys(cls, text: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if text is not None:
            right = cast(Right, str(info.field_name).removesuffix("_keys"))
            parse_list(text.get_secret_value(), right)
        return text

    @field_validator("auth")
    @classmethod
    def _open_on_purpose(cls, auth: str | None, info: ValidationInfo) -> str | None:
        host, data = info.data.get("host"), info.data
        keys = any(data.get(name) for name in ("publish_keys", "subscribe_keys", "control_keys", "keys_file"))
        credentials = keys or (data.get("livekit_key") and data.get("livekit_secret"))
        if auth == "open" and keys:
            raise ValueError("open would ignore the keys: remove either")
        if auth == "required" and not credentials:
            raise ValueError(
                f"required: without credentials, this hub refuses everything; set HUB_CONTROL_KEYS={new_key()} (just generated)"
            )
        if auth is None and host is not None and host not in LOOPBACK and not credentials:
            raise ValueError(needs_access(f"HUB_HOST={host}", "keep HUB_HOST=localhost"))
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
                "requests to webhook receivers are signed, and receivers need the secret to verify them: set "
                f"HUB_FORWARD_SECRET={signing.new_secret()} (freshly generated for you)"
            )
        return secret

    @property
    def history(self) -> str:
        """Where events are stored; can contain a password."""
        return self.history_url.get_secret_value()

    @property
    def access_required(self) -> bool:
        """Whether requests need a credential."""
        given = (self.publish_keys, self.subscribe_keys, self.control_keys, self.keys_file)
        return self.auth != "open" and (self.auth == "required" or any(given) or self.host not in LOOPBACK)

    @property
    def for_this_machine(self) -> bool:
        """Whether the hub is open because it listens on loopback, and not because HUB_AUTH says so."""
        return self.auth is None and not self.access_required

    @property
    def public_livekit_secret(self) -> bool:
        """Whether LiveKit tokens are credentials, and everyone knows the secret that signs them."""
        secret = self.livekit_secret.get_secret_value() if self.livekit_key and self.livekit_secret else ""
        return self.access_required and secret in livekit_secrets.WELL_KNOWN

    def keys(self) -> tuple[KeyEntry, ...]:
        """All keys. Reads HUB_KEYS_FILE; raises ValueError if that has become wrong."""
        given: list[tuple[SecretStr | None, Right]] = [
            (self.publish_keys, "publish"), (self.subscribe_keys, "subscribe"), (self.control_keys, "control"),
        ]  # fmt: skip
        entries = [entry for text, right in given if text for entry in parse_list(text.get_secret_value(), right)]
        return refuse_duplicates([*entries, *(setting_values.keys_in(self.keys_file) if self.keys_file else ())])

    @property
    def targets(self) -> tuple[Target, ...]:
        """The forwarding targets."""
        return parse_targets(self.forward.get_secret_value()) if self.forward else ()

    @property
    def addresses(self) -> list[str]:
        """The addresses to listen on."""
        return ["127.0.0.1", "::1"] if self.host == "localhost" else [self.host]

    @property
    def url(self) -> str:
        """The hub's URL for a browser on this machine."""
        host = "localhost" if self.host in ("localhost", "0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment that the settings were read from, `.env` included: what agents inherit."""
        return self._environ

    def loopback_url(self, port: int) -> str:
        """The hub's URL for a program on this machine, whatever it listens on; `port`: the actual one."""
        host = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def livekit_missing(self) -> list[str]:
        """The names of LiveKit's settings that are not set."""
        values = (self.livekit_url, self.livekit_key, self.livekit_secret)
        return [name for name, value in zip(LIVEKIT_NAMES, values, strict=True) if value is None]

    @property
    def effective_retention(self) -> Retention:
        """The retention in force."""
        return self.retention or Retention(7 * 86400, 64_000_000 if self.history == "memory:" else 1_000_000_000)

    def subscriber_limit(self, descriptors: int) -> int:
        """Maximum number of open streams, if the process may have `descriptors` open files."""
        return self.max_subscribers or max(1, (descriptors - RESERVED_FDS) * 4 // 5)

    def connection_limit(self, descriptors: int) -> int:
        """Maximum number of other connections: the descriptors that streams leave."""
        return max(8, descriptors - RESERVED_FDS - self.subscriber_limit(descriptors))

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Self:
        """Read the settings; raises `SettingsError`, which names every wrong one. Empty counts as unset."""
        values = cls._given(environ, dotenv)
        lines: list[str] = []
        known = cls.names()
        given = {name: values[name].strip() for name in known if (values.get(name) or "").strip()}
        if given.get("HUB_WORKERS", "1") != "1":
            given.setdefault("HUB_HISTORY", OWN_VALKEY)
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                text = one["msg"].removeprefix("Value error, ")
                place = str(one["loc"][0])  # for a default it is the field's name, not the setting's
                name = str(cls.model_fields[place].alias) if place in cls.model_fields else place
                value = "" if name in _UNTOLD else f"={setting_values.shown(given.get(name, ''))}"
                lines.append(f"{name}{value}: {text[:1].lower()}{text[1:]}")
        lines += setting_names.refused(values, known)
        if not lines:
            try:
                settings.keys()
            except ValueError as error:
                lines.append(f"the keys: {error}")
            if not settings.access_required and (settings.rate_limit or settings.credential_subscribers):
                lines.append(rates.NEEDLESS)
            if settings.host not in LOOPBACK and settings.public_livekit_secret:
                lines.append(f"LIVEKIT_API_SECRET: {livekit_secrets.REFUSED}")
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
        """A sentence for each unknown `HUB_…` name, which is probably a typo."""
        return setting_names.unknown(cls._given(environ, dotenv), cls.names())

    @classmethod
    def table(cls) -> list[tuple[str, str, str]]:
        """Name, default and description of each setting, for `--help` and the README."""
        rows = []
        fields = cls.model_fields
        inherited = ObservabilitySettings.model_fields.keys()
        for name in [*(name for name in fields if name not in inherited), *inherited]:
            field = fields[name]
            default = "unset" if field.default in (None, "") else str(field.default)
            rows.append((str(field.alias), default, field.description or ""))
        return rows
