"""The settings of what a hub knows of its agents beyond their events: recordings, traces, logs, alerts."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from . import setting_values
from .alerts.rules import Rule
from .alerts.rules import parse as parse_rules
from .history import Retention
from .units import seconds, size

Duration = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
Size = Annotated[int, BeforeValidator(size), Field(gt=0)]


def setting(name: str, default: Any, about: str, **limits: Any) -> Any:
    """A field of the settings. `name`: of its environment variable."""
    return Field(default, alias=name, description=about, validate_default=True, **limits)


class ObservabilitySettings(BaseModel):
    """The part of `Settings` that concerns recordings and alerts."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)

    recordings: Annotated[str, AfterValidator(setting_values.recordings)] = setting(
        "HUB_RECORDINGS",
        "var/recordings",
        "folder for recordings, traces and logs that agents upload (LIVEKIT_OBSERVABILITY_URL names the hub); `off`: the "
        "hub refuses them, and agents stop uploading",
    )
    recordings_retention: Annotated[Retention, BeforeValidator(setting_values.retention)] = setting(
        "HUB_RECORDINGS_RETENTION", "30d,10GB", "maximum age and size of these"
    )
    max_recording: Size = setting(
        "HUB_MAX_RECORDING", "512MiB", "maximum size of one upload; an hour takes about 54 MB"
    )
    alerts: Annotated[tuple[Rule, ...], BeforeValidator(parse_rules)] = setting(
        "HUB_ALERTS",
        "",
        "rules that raise alerts, separated by `;`: `e2e p95 over 5m > 2s; error; silent 60s; crash` (docs/alerts.md)",
    )
    slow: Annotated[tuple[float, float], BeforeValidator(setting_values.slow)] = setting(
        "HUB_SLOW", "1.5s,3s", "waits that the page shows in amber, and in red"
    )
    prices: Annotated[str, AfterValidator(setting_values.prices)] | None = setting(
        "HUB_PRICES",
        None,
        "file with the prices of models: sessions, rooms and turns then have a `cost`; read again on SIGHUP "
        "(docs/alerts.md)",
    )
    trace_content: Annotated[bool, BeforeValidator(setting_values.switch)] = setting(
        "HUB_TRACE_CONTENT",
        "0",
        "1: keep all attributes of spans and logs: prompts, whole contexts, exceptions, paths; 0: only figures and ids",
    )
