from __future__ import annotations

import pytest

from optimizer.report.colour import Meaning
from optimizer.report.style import Style
from optimizer.report.table import (
    Column,
    format_heading,
    format_list,
    format_pairs,
    format_paragraph,
    format_table,
    join_sections,
    pad,
    shorten,
    text_width,
)

PLAIN = Style(width=80)


def test_width_counts_columns_and_not_characters() -> None:
    assert text_width("abc") == 3
    assert text_width("\x1b[1mabc\x1b[0m") == 3
    assert text_width("日本") == 4
    assert text_width("e\u0301") == 1
    assert text_width("–×█") == 3


def test_padding_and_shortening_respect_width() -> None:
    assert pad("日", 4) == "日  "
    assert pad("7", 3, right=True) == "  7"
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"
    assert text_width(shorten("日本語日本語", 5)) <= 5


def test_a_table_aligns_numbers_right_and_words_left() -> None:
    lines = format_table([Column(title="name"), Column(title="n", right=True)], [["a", "1"], ["bbbbbb", "22"]], PLAIN)
    assert lines == ["  name     n", "  a        1", "  bbbbbb  22"]


def test_a_column_without_entries_is_left_out() -> None:
    lines = format_table([Column(title="a"), Column(title="gone"), Column(title="b")], [["1", "", "2"]], PLAIN)
    assert lines == ["  a  b", "  1  2"]


def test_a_wide_table_gives_way_where_it_may() -> None:
    columns = [Column(title="long", shrinks=True, smallest=10), Column(title="kept")]
    lines = format_table(columns, [["x" * 100, "k" * 20]], PLAIN)
    assert all(text_width(line) <= 80 for line in lines)
    assert lines[1].endswith("…  " + "k" * 20)


def test_only_columns_that_may_shrink_do() -> None:
    lines = format_table([Column(title="a"), Column(title="b")], [["x" * 60, "y" * 60]], PLAIN)
    assert lines[1] == "  " + "x" * 60 + "  " + "y" * 60


def test_pairs_wrap_under_themselves() -> None:
    lines = format_pairs([("Key", "word " * 30), ("Longer", "short")], PLAIN)
    assert lines[0].startswith("  Key     word word")
    assert lines[1].startswith("          word")
    assert lines[-1] == "  Longer  short"
    assert all(len(line) <= 80 for line in lines)


def test_a_number_stays_with_its_unit() -> None:
    words = "x" * 70
    (first, second) = format_paragraph(f"{words} 99.9 % sure", PLAIN, indent="    ")
    assert first.strip() == words
    assert second == "    99.9 % sure"
    assert "\u00a0" not in first + second


def test_ascii_replaces_every_sign() -> None:
    ascii_only = Style(width=80, unicode=False)
    assert ascii_only.plain("2 × A – B · c… ≥ █░ é") == "2 x A - B | c... >= #. ?"
    assert ascii_only.bar(0.5, 4) == "##.."
    assert format_list(["one"], ascii_only) == ["  - one"]
    assert format_list(["one"], PLAIN) == ["  · one"]


def test_a_bar_is_clipped() -> None:
    assert PLAIN.bar(0.0, 4) == "░░░░"
    assert PLAIN.bar(0.5, 4) == "██░░"
    assert PLAIN.bar(7.0, 4) == "████"
    assert PLAIN.bar(-1.0, 4) == "░░░░"


@pytest.mark.parametrize(("asked", "got"), [(10, 72), (80, 80), (100, 100), (400, 132)])
def test_width_is_kept_readable(asked: int, got: int) -> None:
    assert Style(width=asked).width == got


def test_colour_is_off_unless_asked_for() -> None:
    assert PLAIN.paint("x", Meaning.BROKEN) == "x"
    assert Style(colour=True).paint("x", Meaning.BROKEN) == "\x1b[31mx\x1b[0m"
    assert Style(colour=True).paint("", Meaning.BROKEN) == ""


def test_a_heading_shortens_its_aside() -> None:
    assert format_heading("Title", "", PLAIN) == "Title"
    assert text_width(format_heading("Title", "word " * 40, Style(colour=True))) == 80


def test_sections_without_lines_leave_no_gap() -> None:
    assert join_sections([["a", "b"], [], ["c"]]) == "a\nb\n\nc\n"


def test_an_optional_column_goes_before_any_is_cut() -> None:
    columns = [Column(title="a", shrinks=True), Column(title="more", optional=True)]
    assert format_table(columns, [["x" * 76, "1"]], PLAIN) == ["  a", "  " + "x" * 76]
    assert format_table(columns, [["x" * 72, "1"]], PLAIN)[1] == "  " + "x" * 72 + "  1"
