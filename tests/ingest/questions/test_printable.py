import json

import pytest
from hypothesis import given
from hypothesis.strategies import text

from ingest.questions.printable import printable


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", "\\u001b[2J\\u001b]0;title\\u0007"),
        ("\x9b31m", "\\u009b31m"),
        ("photo\u202egpj.exe", "photo\\u202egpj.exe"),
        ("a\r\nb", "a\\u000d\\u000ab"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("tag \U000e0041", "tag \\udb40\\udc41"),
        ("broken \ud800", "broken \\ud800"),
    ],
)
def test_what_moves_the_cursor_or_turns_the_line_is_escaped(hostile, shown):
    assert printable(hostile) == shown


def test_text_in_any_language_stays_what_it_is():
    for shown in ("naïve café", "東京の写真", "صورة", "фото", "🐈 cat"):
        assert printable(shown) == shown


@given(text())
def test_nothing_but_printable_characters_is_left(anything):
    assert printable(anything).isprintable()


@given(text())
def test_json_stays_the_same_json(anything):
    assert json.loads(printable(json.dumps(anything, ensure_ascii=False))) == anything
