"""The seam for access: one table of needs, filters intersected with what a principal may see (H37)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_hub.server.access.access import Access
from event_hub.server.access.needs import ROUTES, Need, authorise, need_of
from event_hub.server.access.principal import ANONYMOUS, LOCAL, Grant, Principal, principal_of
from event_hub.server.app import create_app
from event_hub.server.errors import RequestError
from event_hub.server.filters import NOTHING, Filter, Scope
from event_hub.server.http.routes.operations import gateway
from event_hub.server.settings import Settings

WATCHER = Principal("key", "watcher", Grant(subscribe=Scope(("demo",), ("support-*",))))


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    settings = Settings.load({"HUB_HISTORY": "memory:"}, None)
    app = create_app(settings, static=Path(tmp_path_factory.mktemp("static")))
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("OPTIONS", "HEAD")
    }


def test_the_table_has_a_row_for_every_route_and_no_other(rules: set[tuple[str, str]]) -> None:
    assert rules == set(ROUTES)


def test_every_route_of_the_application_is_open_to_the_local_principal(rules: set[tuple[str, str]]) -> None:
    for method, rule in rules:
        authorise(LOCAL, need_of(method, rule))


@pytest.mark.parametrize(
    ("principal", "allowed"),
    [
        (LOCAL, set(Need)),
        (ANONYMOUS, {Need.NOTHING}),
        (Principal("key", "p", Grant(publish=Scope(("a",)))), {Need.NOTHING, Need.PUBLISH}),
        (WATCHER, {Need.NOTHING, Need.SUBSCRIBE}),
        (Principal("key", "c", Grant(control=True)), {Need.NOTHING, Need.CONTROL}),
    ],
)
def test_a_principal_may_do_what_its_grant_says(principal: Principal, allowed: set[Need]) -> None:
    for need in Need:
        if need in allowed:
            authorise(principal, need)
        else:
            with pytest.raises(RequestError) as caught:
                authorise(principal, need)
            assert caught.value.kind.code == ("unauthorized" if principal is ANONYMOUS else "forbidden")


@pytest.mark.parametrize(
    ("principal", "shown"),
    [
        (LOCAL, True),
        (WATCHER, False),
        (Principal("key", "wall", Grant(subscribe=None)), False),
        (Principal("agent", "agent", Grant(publish=None)), False),
        (Principal("key", "boss", Grant(None, None, control=True)), True),
        (ANONYMOUS, False),
        (Principal("key", "p", Grant(publish=Scope(("a",)))), False),
    ],
)
def test_the_gateway_is_named_to_those_who_may_control_agents(principal: Principal, shown: bool) -> None:
    """`/api/config` needs no right."""
    assert gateway(None, principal) is None
    found = gateway("http://localhost:8765", principal)
    assert (found is not None) == shown
    if found is not None:
        assert found["address"] == "http://localhost:8765"
        assert found["pages"][0] == {"name": "voice", "url": "http://localhost:8765/voice.html"}


def test_every_request_has_a_principal() -> None:
    environ: dict[str, Any] = {"REMOTE_ADDR": "127.0.0.1"}
    access = Access(Settings.load({}, None))
    assert access.resolve(environ) is LOCAL
    assert principal_of(environ) is LOCAL


names = st.sampled_from(["support-1", "support-2", "demo", "demo-2", "other", "", "support-"])


@given(st.lists(st.sampled_from(["support-*", "demo", "*", "other", "*-2"]), max_size=3), st.none() | names)
def test_a_filter_is_intersected_with_what_a_principal_may_see(patterns: list[str], room: str | None) -> None:
    filter = Filter.of(rooms=patterns)
    visible = WATCHER.visible(filter)
    may_see = room is not None and (room.startswith("support-") or room == "demo")
    passes = bool(filter.matches("transcript", room, None)) and may_see
    assert bool(visible.matches("transcript", room, None)) == passes
    assert not visible.everything


def test_filters_of_different_principals_are_different_keys() -> None:
    """Views, pages and pasts are shared by filter: what one principal may see is never given to another."""
    other = Principal("key", "other", Grant(subscribe=Scope(("demo",))))
    nothing = Principal("key", "nothing", Grant(subscribe=NOTHING))
    filters = {principal.visible(Filter()) for principal in (LOCAL, WATCHER, other, nothing)}
    assert len(filters) == 4
    assert not nothing.visible(Filter()).matches("transcript", "demo", None)
    assert WATCHER.visible(Filter()) == WATCHER.visible(Filter())
    assert LOCAL.visible(Filter()) == Filter()
