"""HUB_FORWARD: targets and their options are parsed, and errors never reveal secrets (H35)."""

from __future__ import annotations

from pathlib import Path

import pytest

from event_hub.server.agents.launch_plan import environment
from event_hub.server.agents.mask import Mask
from event_hub.server.agents.record import AgentRecord
from event_hub.server.forward.targets import FILE, WEBHOOK, parse
from event_hub.server.settings import Settings, SettingsError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"


def load(**environ: str) -> Settings:
    return Settings.load(environ, dotenv=None)


def test_targets_and_their_options() -> None:
    hook, relative, absolute = parse(
        "https://a.example/hook?x=1#type=transcript&type=agent_*&room=support-*&session=s&since=all&batch=7\n"
        " file:var/events.jsonl  file:///srv/all%20of%20it.jsonl#rotate=1MB&keep=0"
    )
    assert (hook.kind, hook.address, hook.batch, hook.everything) == (WEBHOOK, "https://a.example/hook?x=1", 7, True)
    assert (hook.filter.types, hook.filter.rooms, hook.filter.sessions) == (
        ("agent_*", "transcript"),
        ("support-*",),
        ("s",),
    )
    assert (relative.kind, relative.address, relative.rotate, relative.keep) == (
        FILE,
        "var/events.jsonl",
        100_000_000,
        10,
    )
    assert (relative.everything, relative.filter.everything) == (False, True)
    assert (absolute.address, absolute.rotate, absolute.keep) == ("/srv/all of it.jsonl", 1_000_000, 0)
    assert parse("") == ()


def test_a_target_keeps_its_checkpoint_when_its_options_change() -> None:
    (before,), (after,) = parse("https://a.example/hook"), parse("https://a.example/hook#type=transcript&batch=5")
    assert before.slug == after.slug
    assert before.slug.startswith("a.example-")
    others = ["https://a.example/hook2", "https://a.example/hook?x", "http://a.example/hook", "file:a.example"]
    assert len({target.slug for other in others for target in parse(other)} | {before.slug}) == 5


def test_displayed_targets_are_distinct_and_hide_secrets() -> None:
    first, second, third = parse(
        "https://user:hush@a.example:8443/hook?token=hush https://user:hush2@a.example:8443/hook?token=hush "
        "https://a.example/services/T024/hushhushhushhush/x"
    )
    assert first.shown == "https://***@a.example:8443/hook?***"
    assert second.shown == "https://***@a.example:8443/hook?*** (2)"
    assert third.shown == "https://a.example/services/T024/***/x"
    assert "hush" not in repr((first, second, third)) + first.slug + second.slug + third.slug


WRONG = [
    ("htps://a.example", "target 1 is not a target: write https://"),
    ("https://", "target 1 is not a target"),
    ("https://grüße.example/", "is not a target"),
    ("https://a.example:port/", "target 1 is not a valid URL"),
    ("https://[::1/", "target 1 is not a valid URL"),
    ("file:", "target 1 is not a target"),
    ("file://host/x", "target 1 is not a target"),
    ("var/events.jsonl", "target 1 is not a target"),
    ("https://a.example#typ=x", "the option 'typ' is unknown; do you mean type?"),
    ("https://a.example#zzz=1", "the option 'zzz' is unknown: the options are type, room"),
    ("https://a.example#rotate=1MB", "the option rotate applies only to a file"),
    ("file:x#batch=5", "the option batch applies only to a webhook"),
    ("https://a.example#type", "the option type has no value"),
    ("https://a.example#type=", "the option type has no value"),
    ("https://a.example#since=5m", "since can only be all"),
    ("https://a.example#batch=0", "batch=0 is not a number from 1 to 1000"),
    ("https://a.example#batch=1001", "from 1 to 1000"),
    ("https://a.example#batch=1&batch=2", "the option batch is given 2 times"),
    ("https://a.example#room=" + "r" * 300, "a pattern has at most 256 characters"),
    ("file:x#rotate=much", "rotate=much is not a size"),
    ("file:x#rotate=100", "rotate=100 is too small"),
    ("file:x#keep=-1", "keep=-1 is not a number"),
    ("https://a.example https://a.example#type=x", "https://a.example is listed 2 times"),
    ("file:var/x#type=x file:./var//x", "file:var/x is listed 2 times"),
    (f"file:var/x file://{Path.cwd()}/var/x", "file:var/x is listed 2 times"),
    ("file:var/a%00b", "target 1 is not a target"),
    ("file:var/a%0ab%1b[31m", "target 1 is not a target"),
    ("https://grüße@a.example/", "with special characters percent-encoded"),
    ("https://a.example\\@b.example/", "target 1 is not a target"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text[:40] for text, _ in WRONG])
def test_wrong_targets_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hush@a.example/#typ=x",
        "https://a.example/?token=hush#typ=x",
        "https://user:hush@[::1/",
        "https://user:hush@a.example:port/",
        "htps://user:hush@a.example",
        "https://user:hush@a.example https://user:hush@a.example",
        "https://user:12#hush@a.example/",
    ],
)
def test_refusals_do_not_reveal_secrets(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(HUB_FORWARD=text, HUB_FORWARD_SECRET="hush")
    assert "hush" not in str(caught.value)
    assert str(caught.value).count("HUB_FORWARD: ") == str(caught.value).count("HUB_FORWARD_SECRET: ") == 1


def test_a_webhook_without_a_secret_is_refused_with_a_generated_suggestion() -> None:
    with pytest.raises(SettingsError) as caught:
        load(HUB_FORWARD="https://a.example", HUB_RING="few")
    lines = str(caught.value).splitlines()
    assert [line.split("=")[0].split(":")[0] for line in lines] == ["HUB_RING", "HUB_FORWARD_SECRET"]
    offered = lines[1].split("HUB_FORWARD_SECRET=")[1].split()[0]
    settings = load(HUB_FORWARD="https://a.example", HUB_FORWARD_SECRET=offered)
    assert [target.address for target in settings.targets] == ["https://a.example"]
    assert load(HUB_FORWARD="file:x").forward_secret is None


def test_settings_do_not_show_secrets() -> None:
    settings = load(HUB_FORWARD="https://user:hush@a.example/?hush", HUB_FORWARD_SECRET=SECRET)
    shown = repr(settings) + str(settings) + settings.model_dump_json() + repr(settings.targets)
    assert "hush" not in shown
    assert SECRET not in shown
    assert settings.forward_state == "var/forward"
    assert load().targets == ()


def test_agents_neither_get_nor_log_the_secret() -> None:
    """An agent's program has no use for it, but may read it from `.env`, so it is masked in the agent's output."""
    url = "https://user:hushhush@a.example/?hush"
    settings = load(HUB_FORWARD=url, HUB_FORWARD_SECRET=f"{SECRET} {SECRET}", PATH="/bin", HUB_FORWARD_STATE="x")
    given = environment(settings, AgentRecord("a1", "worker", ["x"], 0.0, 0.0), 5000)
    assert (given["PATH"], given["HUB_AGENT_ID"]) == ("/bin", "a1")
    assert not {"HUB_FORWARD", "HUB_FORWARD_SECRET"} & given.keys()
    for mask in (Mask(settings.environ), Mask({})):
        assert mask(f"it is {SECRET}, {SECRET}== and '{SECRET}'") == "it is ***, *** and '***'"
