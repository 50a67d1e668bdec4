"""Pages of a replay: read once for all that resume at the same place, and never outdated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from event_hub.server.erasure.selector import Selector
from event_hub.server.errors import RequestError
from event_hub.server.filters import Filter
from event_hub.server.history import Draft, HistoryError, HistoryReader, Retention
from event_hub.server.history.memory import MemoryHistory
from event_hub.server.hub import EventHub
from event_hub.server.settings import Settings
from event_hub.server.streaming import replay_pages
from event_hub.server.streaming.replay_pages import ReplayPages
from event_hub.server.streaming.start import PAGE
from event_hub.sse import Decoder

ALL = Filter()


class Head:
    head = 0


class Counting(HistoryReader):
    """Counts how often a page is read."""

    reads = 0

    def after(self, *arguments: Any) -> Any:
        self.reads += 1
        return super().after(*arguments)


class House:
    def __init__(self) -> None:
        self.history = MemoryHistory(Retention(None, None))
        self.log = Head()
        self.reader = Counting(self.history, self.log)
        self.pages = ReplayPages(self.reader)

    def publish(self, count: int, size: int = 0) -> None:
        for _ in range(count):
            number = self.history.head + 1
            data = json.dumps({"type": "n", "n": number, "text": "x" * size}).encode()
            self.history.append([Draft("n", f"room-{number % 2}", None, None, data)], 0.0)
        self.log.head = self.history.head

    def numbers(self, filter: Filter = ALL) -> list[int]:
        """The numbers of all events, read as a subscriber would."""
        offset, numbers = 0, []
        while offset < self.log.head:
            page = self.pages.after(offset, filter)
            numbers += [json.loads(message.data)["n"] for message in Decoder().feed(page.data)]
            offset = page.through
        return numbers


def test_those_who_resume_at_the_same_place_share_a_page() -> None:
    house = House()
    house.publish(PAGE + 10)
    first = house.pages.after(0, ALL)
    assert house.pages.after(0, ALL) is first and first.chunk is first.chunk
    assert house.pages.after(1, ALL) is not first
    assert (first.count, first.through, first.full, house.reader.reads) == (PAGE, PAGE, True, 2)


def test_the_newest_page_is_read_again_once_it_could_be_much_longer() -> None:
    house = House()
    house.publish(10)
    first = house.pages.after(0, ALL)
    house.publish(5)
    assert house.pages.after(0, ALL) is first and not first.full
    assert house.numbers() == list(range(1, 16))
    house.publish(200)
    assert house.pages.after(0, ALL).count == 215
    assert house.numbers() == list(range(1, 216))


def test_filters_do_not_share_pages() -> None:
    house = House()
    house.publish(20)
    assert house.numbers(Filter.of(rooms=["room-0"])) == list(range(2, 21, 2))
    assert house.numbers(Filter.of(rooms=["room-1"])) == list(range(1, 21, 2))
    assert house.numbers() == list(range(1, 21))


def test_an_erased_event_is_in_no_page() -> None:
    house = House()
    house.publish(3)
    house.numbers()
    house.history.erase({2: b'{"type":"event_erased","n":0}'})
    house.pages.clear()
    assert house.numbers() == [1, 0, 3]


def test_the_bytes_of_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_pages, "_MOST_BYTES", 1 << 20)
    house = House()
    house.publish(20 * PAGE, size=300)
    assert house.numbers() == list(range(1, 20 * PAGE + 1))
    kept = list(house.pages._pages.values())
    assert 1 <= len(kept) < 20
    assert house.pages._bytes == sum(map(replay_pages._size, kept)) <= 1 << 20
    assert kept[-1].through == 20 * PAGE


def test_the_number_of_pages_is_bounded() -> None:
    """The pages of filters that match nothing are empty, but the filters are not."""
    house = House()
    house.publish(3)
    for n in range(400):
        assert house.numbers(Filter.of(rooms=[f"empty-{n}"])) == []
    assert len(house.pages._pages) <= replay_pages._MOST_PAGES


def test_an_erasure_that_fails_half_way_leaves_no_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUB_AGENT_STATE", str(tmp_path))
    history = MemoryHistory(Retention(None, None))
    hub = EventHub(Settings.load(), history)
    for _ in range(6):
        hub.publish([{"type": "n", "room": "secret", "text": "said"}] * 100, batch=True)
    pages = hub.streams.replay_pages
    assert pages.after(0, ALL).data.count(b"said") == PAGE
    erase, calls = history.erase, 0

    def failing(tombstones: Mapping[int, bytes]) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise HistoryError("the disk is full")
        erase(tombstones)

    monkeypatch.setattr(history, "erase", failing)
    with pytest.raises(RequestError):
        hub.forget(Selector(room="secret"), dry_run=False)
    stored = sum(b"said" in record.data for record in hub.history.after(0, 600, ALL, PAGE).records)
    assert 0 <= pages.after(0, ALL).data.count(b"said") == stored < PAGE
    hub.close()


def test_a_page_read_during_an_erasure_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.publish(3)
    read = house.reader.after

    def interrupted(*arguments: Any) -> Any:
        page = read(*arguments)
        house.pages.clear()
        return page

    monkeypatch.setattr(house.reader, "after", interrupted)
    house.pages.after(0, ALL)
    assert not house.pages._pages


def test_unused_pages_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.publish(5)
    house.numbers()
    house.pages.drop_unused()
    assert house.pages._pages
    monkeypatch.setattr(replay_pages, "_UNUSED", -1.0)
    house.pages.drop_unused()
    assert not house.pages._pages and house.numbers() == [1, 2, 3, 4, 5]
