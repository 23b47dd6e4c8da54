"""The chart in the terminal: what stands where, for moments and values that are hard to draw."""

from __future__ import annotations

import pytest

from optimizer.report.step_chart import Step, Steps, draw_steps
from optimizer.report.style import Style

STYLE = Style(width=72)


def drawn(*changes: Step, start: float = 0.0, end: float = 100.0, until: float | None = None) -> list[str]:
    steps = Steps(
        start_s=start, end_s=end, known_until_s=end if until is None else until, changes=changes, start_label="A",
        end_label="B",
    )  # fmt: skip
    return [line.removeprefix("  ") for line in draw_steps(steps, str, STYLE)]


def plot(lines: list[str]) -> list[str]:
    """Return the part within the axes."""
    return [line.partition("┤")[2] or line.partition("│")[2] for line in lines[:-2]]


def test_a_price_that_stands_is_one_line() -> None:
    lines = drawn((0.0, 5))
    assert len(lines) == 3
    assert lines[0] == "5 ┤" + "─" * 67
    assert lines[1] == "  └" + "─" * 67
    assert lines[2].split() == ["A", "B"]


def test_up_and_down_turn_the_right_way() -> None:
    rows = plot(drawn((0.0, 0), (30.0, 10), (60.0, 0)))
    assert len(rows) == 8
    assert rows[0].strip().startswith("┌─")
    assert rows[0].rstrip().endswith("─┐")
    assert rows[-1].startswith("─")
    assert "┘" in rows[-1]
    assert "└" in rows[-1]
    assert rows[0].index("┌") == rows[-1].index("┘")
    assert rows[0].index("┐") == rows[-1].index("└")
    assert all(row[rows[0].index("┌")] == "│" for row in rows[1:-1])


def test_between_going_and_coming_nothing_is_drawn() -> None:
    (row,) = plot(drawn((0.0, 5), (25.0, None), (75.0, 5)))
    assert row[:16] == "─" * 16
    assert row[17:49].strip() == ""
    assert row[50:] == "─" * (len(row) - 50)


def test_after_the_last_look_nothing_is_drawn() -> None:
    (row,) = plot(drawn((0.0, 5), until=50.0))
    assert len(row) == 34


def test_what_was_in_force_before_the_window_begins_it() -> None:
    rows = plot(drawn((-50.0, 1), (-20.0, 9), (50.0, 5)))
    assert rows[0].startswith("──")
    assert not any(row.startswith(("│", "┐", "┘")) for row in rows)


def test_a_spike_within_one_column_is_seen() -> None:
    rows = plot(drawn((0.0, 0), (50.0, 10), (50.01, 0)))
    assert any(row.strip() == "│" for row in rows[:-1])


def test_what_happens_at_the_very_end_is_seen() -> None:
    rows = plot(drawn((0.0, 0), (100.0, 10)))
    assert rows[0].rstrip().endswith("┌")


def test_nothing_is_nothing() -> None:
    assert drawn() == []
    assert drawn((0.0, None)) == []


@pytest.mark.parametrize("width", [72, 80, 132])
def test_it_fits(width: int) -> None:
    steps = Steps(
        start_s=0, end_s=0, known_until_s=0, changes=[(0.0, 10**15), (0.0, 7)], start_label="A", end_label="B"
    )
    assert max(len(line) for line in draw_steps(steps, str, Style(width=width))) == width
