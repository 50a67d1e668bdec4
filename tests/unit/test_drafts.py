"""A batch is validated and encoded all at once, with the same outcome as each of its events alone."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from event_hub.events import HUB_ONLY, KNOWN, InvalidEvent, all_valid, check
from event_hub.server.access.principal import LOCAL
from event_hub.server.drafts import drafts_of
from event_hub.server.errors import RequestError
from event_hub.server.history import Draft
from event_hub.server.http import body

NOW = 1764226800.5
MOST = 2_000
FIELDS = sorted({field for model in KNOWN.values() for field in model.model_fields} - {"type"})

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 2**64, 2**70, 10**30, -(2**70), int(1e11), 0, -1])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e11, 99999999999.5, -0.0, 5e-324, 1.0])
    | st.text(max_size=5)
    | st.sampled_from(
        ["", "\0", "\0a", "user", "agent", "a\nb", "\x85\u2028\u2029", "é" * 256, "é" * 257, "😀" * 128, "x" * 2000]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
names = st.sampled_from([*KNOWN, *sorted(HUB_ONLY), "livekit_room_started", "bench", "", "a b", "x\n", None, 5])


@st.composite
def events(draw: st.DrawFn) -> Any:
    """Mostly an example of its type, with some fields replaced by any value."""
    name = draw(names)
    model = KNOWN.get(name) if isinstance(name, str) else None
    event = copy.deepcopy(model.example) if model else {"type": name}
    event.update(draw(st.dictionaries(st.sampled_from(FIELDS), values, max_size=3)))
    for field in draw(st.sets(st.sampled_from(sorted(event)), max_size=1)):
        del event[field]
    return event


@given(events())
@example({"type": "agent_text_delta", "delta": "a", "offset": 5.0})
@example({"type": "agent_text_delta", "delta": "a", "offset": 2**70})
@example({"type": "transcript", "text": "a", "timestamp": 10**400})
@example({"type": "transcript", "text": "a", "timestamp": True})
@example({"type": "transcript", "text": "a", "final": 1})
@example({"type": "transcript", "text": "a", "room": "é" * 256})
@example({"type": "transcript", "text": "a", "room": "\U0001f600" * 257})
def test_a_batch_passes_exactly_the_events_that_pass_alone(event: dict[str, Any]) -> None:
    try:
        check(event)
    except InvalidEvent:
        assert not all_valid([event])
        assert not all_valid([{"type": "bench"}, event, event])
    else:
        assert all_valid([event, {"type": "bench"}, event])


def outcome(batch: list[Any]) -> list[Draft] | tuple[str, dict[str, Any], str]:
    """The drafts of a batch, or its refusal."""
    try:
        return drafts_of(copy.deepcopy(batch), NOW, LOCAL, MOST, batch=True)
    except RequestError as error:
        return error.kind.code, error.more, error.detail


@given(st.lists(events() | values, min_size=2, max_size=5))
def test_a_batch_has_the_drafts_and_the_refusals_of_its_events(batch: list[Any]) -> None:
    drafts = []
    for index, event in enumerate(batch):
        alone = outcome([event])
        if isinstance(alone, tuple):
            code, more, detail = alone
            assert outcome(batch) == (
                code,
                more | {"index": index},
                detail.replace("event 0 of 1", f"event {index} of {len(batch)}"),
            )
            return
        drafts += alone
    assert outcome(batch) == drafts
    for draft in drafts:
        assert not set(b"\n\r") & set(draft.data)
        assert len(draft.data.decode().splitlines()) == 1
        assert msgspec.json.decode(draft.data)["type"] == draft.type


HOSTILE = {
    "the same key twice": (b'{"type":"t","room":"a","room":"b"}', b'{"type":"t","room":"b"}'),
    "the same key, escaped": (b'{"type":"t","room":"a","r\\u006fom":"b"}', b'{"type":"t","room":"b"}'),
    "line breaks between tokens": (b'{"type":\n"t",\r\n\t "x" : 1}', b'{"type":"t","x":1}'),
    "numbers in other words": (b'{"type":"t","x":[1E2,-0,1.50]}', b'{"type":"t","x":[100.0,0,1.5]}'),
    "an integer of 30 digits": (b'{"type":"t","x":%d}' % (10**30), b'{"type":"t","x":%d}' % (10**30)),
    "NUL and DEL": (b'{"type":"t","x":"\\u0000\x7f"}', b'{"type":"t","x":"\\u0000\x7f"}'),
    "line separators": ('{"type":"t","x":"\u2028\x85"}'.encode(), b'{"type":"t","x":"\\u2028\\u0085"}'),
}


@pytest.mark.parametrize("lines", [False, True], ids=["array", "NDJSON"])
@pytest.mark.parametrize("what", HOSTILE)
def test_json_is_stored_as_the_hub_writes_it(what: str, lines: bool) -> None:
    posted, stored = HOSTILE[what]
    if lines:
        raw, kind = b"\n".join([posted.replace(b"\r", b" ").replace(b"\n", b" ")] * 3), "application/x-ndjson"
    else:
        raw, kind = b"[" + b",".join([posted] * 3) + b"]", "application/json"
    decoded, batch = body.decode(raw, kind, 10)
    drafts = drafts_of(decoded, NOW, LOCAL, MOST, batch=batch)
    stored = stored[:-1] + b',"timestamp":1764226800.5}'
    assert [draft.data for draft in drafts] == [stored] * 3
    assert [draft.room for draft in drafts] == [msgspec.json.decode(stored).get("room")] * 3


@pytest.mark.parametrize(
    "bad",
    [b'{"x":NaN}', b'{"x":1e999}', b'{"x":"\\ud800"}', b'{"x":"a\nb"}', b'{"x":"\xff"}', b'{"x":%b1%b}' % (b"[" * 5000, b"]" * 5000)],
    ids=["NaN", "1e999", "half a surrogate pair", "a raw line break", "not UTF-8", "nested deeply"],
)  # fmt: skip
def test_what_is_no_json_is_refused(bad: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        body.decode(b'[{"type":"t"},' + bad + b"]", "application/json", 10)
    assert caught.value.kind.code == "bad_json"
