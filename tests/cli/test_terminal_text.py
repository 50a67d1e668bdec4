"""Text made safe for a terminal, and fitted into columns."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from event_hub.cli import terminal_text


def test_control_characters_are_escaped() -> None:
    assert terminal_text.escape(
        "a\x1b[31m\r\n\t\x9b\u202e\u2028b\ud800é😀"
    ) == "a\\x1b[31m\\r\\n\\t\\x9b\\u202e\\u2028bé😀".replace("b\u00e9", "b\\ud800é")
    assert terminal_text.escape_json('"\x7f\u009b"') == '"\\u007f\\u009b"'


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60), st.integers(1, 40))
def test_cut_text_fits(text: str, columns: int) -> None:
    text = terminal_text.escape(text)
    for cut in (terminal_text.cut_end, terminal_text.cut_start):
        assert terminal_text.width(cut(text, columns)) <= columns
        assert cut(text, 200) == text
    assert terminal_text.cut_end("日本語", 5) == "日本…"
    assert terminal_text.cut_start("日本語", 5) == "…本語"
