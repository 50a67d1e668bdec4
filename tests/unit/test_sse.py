"""Frames and ids decode to what was encoded, under any chunking (D03)."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from event_hub import sse
from event_hub.server.gap import Gap
from event_hub.server.streaming import notices
from event_hub.sse import Cursor, Decoder

epochs = st.text("0123456789abcdef", min_size=8, max_size=8)
payloads = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(epochs, st.lists(payloads, max_size=5), st.lists(st.integers(0, 10_000)))
def test_frames_decode_to_what_was_encoded_under_any_chunking(
    epoch: str, values: list[object], cuts: list[int]
) -> None:
    stream = sse.retry(1500) + b"".join(
        sse.frame(epoch, n, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        for n, value in enumerate(values)
        if "\ud800" not in json.dumps(value, ensure_ascii=False)
    )
    decoder = Decoder()
    got = [message for piece in pieces(stream, cuts) for message in decoder.feed(piece)]
    assert [json.loads(message.data) for message in got] == values
    assert [message.id for message in got] == [f"{epoch}-{n}" for n in range(len(values))]
    assert decoder.retry == 1500


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_any_bytes_decode_the_same_under_any_chunking(data: bytes, cuts: list[int]) -> None:
    whole, parts = Decoder(), Decoder()
    at_once = list(whole.feed(data))
    assert [message for piece in pieces(data, cuts) for message in parts.feed(piece)] == at_once
    assert (parts.last_id, parts.retry) == (whole.last_id, whole.retry)


def test_decoder_follows_the_standard() -> None:
    decoder = Decoder()
    stream = (
        b"\xef\xbb\xbf: a comment\r\ndata:x\rdata: y\n\nevent: named\ndata\n\nid: 7\n\ndata:  two spaces\nid: a\0b\n\n"
        b"retry: 12x\nretry: 9\nunknown: z\n\ndata: torn"
    )
    got = list(decoder.feed(stream))
    assert [(m.event, m.data, m.id) for m in got] == [
        ("message", "x\ny", ""),
        ("named", "", ""),
        ("message", " two spaces", "7"),
    ]
    assert decoder.retry == 9


def test_crlf_split_across_chunks_is_one_line_break() -> None:
    decoder = Decoder()
    got = [*decoder.feed(b"data: a\r"), *decoder.feed(b"\ndata: b\r\n\r\n")]
    assert [m.data for m in got] == ["a\nb"]


@given(epochs, st.integers(0, 10**18 - 1))
def test_cursors_round_trip(epoch: str, offset: int) -> None:
    cursor = Cursor(epoch, offset)
    assert Cursor.parse(str(cursor)) == cursor
    assert len(str(cursor)) < 64


@given(st.text())
def test_malformed_cursors_parse_to_none(text: str) -> None:
    cursor = Cursor.parse(text)
    assert cursor is None or str(cursor).split("-")[0] == text.split("-")[0]
    for wrong in (
        "",
        "a",
        "a-",
        "-1",
        "A-1",
        "a-1 ",
        "a-1\n",
        "a--1",
        "a-1.0",
        "a-٣",
        "x" * 17 + "-1",
        "a-" + "1" * 19,
    ):
        assert Cursor.parse(wrong) is None


def test_notices_match_the_hub_only_types() -> None:
    """Each notice validates against the model of its event type."""
    from event_hub.events import HUB_ONLY

    cursor = Cursor("0a1b2c3d", 7)
    stream = (
        notices.opened(cursor, 1.0, resumed=True, replayed=None, spread=0.5)
        + notices.gap(Gap(None, None, cursor, "unknown_epoch"), 2.0)
        + notices.gap(Gap(3, Cursor("0a1b2c3d", 4), cursor, "too_slow"), 2.0)
        + notices.heartbeat(cursor, 3.0)
        + notices.closing(cursor, 4.0, retry_ms=777)
    )
    decoder = Decoder()
    messages = list(decoder.feed(stream))
    assert decoder.retry == 777
    assert {json.loads(m.data)["type"] for m in messages} == set(HUB_ONLY) - {"event_erased", "events_erased"}
    for message in messages:
        event = json.loads(message.data)
        HUB_ONLY[event["type"]].model_validate(event)
        assert message.id == "0a1b2c3d-7"
