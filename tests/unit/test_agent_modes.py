"""The table of modes, HUB_AGENTS, and which agents a new hub starts by itself."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from agent.gateway.pages import PAGES
from event_hub.server.agents.modes import MODES, MOST, AutoStart, mode_of, parse_autostart
from event_hub.server.agents.record import AgentRecord
from event_hub.server.agents.restore import Pending, to_restore
from event_hub.server.http.queries import StartBody
from event_hub.server.settings import Settings, SettingsError

from ..hubs import ROOT

WORKER, ROOM = AutoStart("worker"), AutoStart("room", "a")


def record(agent_id: str, key: AutoStart, **more: Any) -> AgentRecord:
    return AgentRecord(agent_id, key.mode, ["x"], 1.0, 1.0, room=key.room, **more)


def test_a_start_request_takes_exactly_the_modes_of_the_table() -> None:
    annotation = StartBody.model_fields["mode"].annotation
    assert set(get_args(get_args(annotation)[0])) == set(MODES)


def test_an_unknown_mode_of_a_newer_hub_needs_nothing() -> None:
    assert (mode_of("of-a-newer-hub").room, mode_of("of-a-newer-hub").service) == ("optional", False)


@pytest.mark.parametrize(
    ("text", "agents"),
    [
        ("", ()),
        (" , ,", ()),
        ("worker", (WORKER,)),
        (" room:a , worker,", (ROOM, WORKER)),
        ("room: a", (ROOM,)),
        ("gateway", (AutoStart("gateway"),)),
        ("scripted:demo,scripted", (AutoStart("scripted", "demo"), AutoStart("scripted"))),
        ("room:a:b c", (AutoStart("room", "a:b c"),)),
    ],
)
def test_hub_agents_names_modes_and_rooms(text: str, agents: tuple[AutoStart, ...]) -> None:
    assert parse_autostart(text) == agents
    assert parse_autostart(",".join(map(str, agents))) == agents


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wroker", "'wroker' is not a mode: write worker or worker:ROOM, room:ROOM, scripted or scripted:ROOM"),
        ("worker room:a", "'worker room:a' is not a mode"),
        ("room", "'room': write room:ROOM"),
        ("gateway:a", "'gateway:a': write gateway"),
        ("room:", "write room:ROOM"),
        ("worker,worker", "'worker' is named twice"),
        ("room:a, room: a", "'room:a' is named twice"),
        ("room:" + "x" * 257, "at most 256"),
        ("room:a\x1bb", "printable"),
        (",".join(f"room:{n}" for n in range(MOST + 1)), "names 9 agents; at most 8"),
    ],
)
def test_a_wrong_hub_agents_keeps_the_hub_from_starting(text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({"HUB_AGENTS": text}, dotenv=None)
    assert str(caught.value).startswith("HUB_AGENTS=")
    assert words in str(caught.value)


def test_the_setting_comes_first_and_each_mode_and_room_once() -> None:
    records = [
        record("ag_1", ROOM, restart="always", instructions="old"),
        record("ag_2", WORKER, restart="always", from_setting=True),
        record("ag_3", ROOM, restart="always", instructions="new"),
        record("ag_4", AutoStart("room", "b")),
        record("ag_5", AutoStart("room", "c"), restart="always"),
    ]
    requested = [Pending(ROOM, "new", "ag_3"), Pending(AutoStart("room", "c"), None, "ag_5")]
    assert to_restore((), records) == requested
    assert to_restore((WORKER,), records) == [Pending(WORKER, None, "ag_2", from_setting=True), *requested]
    assert to_restore((ROOM,), records) == requested, "the request's instructions count"
    assert to_restore((WORKER,), []) == [Pending(WORKER, None, None, from_setting=True)]


def test_the_newest_record_of_a_mode_and_room_decides() -> None:
    earlier, later = record("ag_1", ROOM, restart="always"), record("ag_2", ROOM)
    assert to_restore((), [earlier, later]) == []
    assert to_restore((), [later, earlier]) == [Pending(ROOM, None, "ag_1")]


def test_the_gateways_pages_are_those_that_it_serves() -> None:
    """The hub does not import the gateway: its table of pages, the gateway's and the page's words must agree."""
    paths = [path for _, path in MODES["gateway"].pages]
    assert set(paths) == set(PAGES)
    words = (ROOT / "static" / "words" / "agents.js").read_text()
    assert all(f'"{path[1:]}"' in words for path in paths)
    assert MODES["gateway"].page_links("http://h:1/")[1] == {"name": "chat", "url": "http://h:1/websocket_client.html"}
    assert MODES["worker"].page_links("http://h:1") == []
