"""Histories, quarantine and transfers, word for word; charts in the terminal and as SVG."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from optimizer.report.csv_prices import prices_csv
from optimizer.report.focus import focus_csv
from optimizer.report.json_history import history_text
from optimizer.report.json_quarantine import quarantine_text
from optimizer.report.json_transfer import import_text
from optimizer.report.style import Style
from optimizer.report.svg_steps import svg_history
from optimizer.report.table import text_width
from optimizer.report.text_history import format_history
from optimizer.report.text_quarantine import format_decision, format_quarantine
from optimizer.report.text_transfer import format_export, format_import
from tests.golden.records import HISTORY, IMPORT, QUARANTINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.report.answers import PriceListAnswer

    Compare = Callable[[str, str], None]

NARROW = Style(width=80)
ASCII = Style(width=80, unicode=False)


def test_histories_read_as_written_down(golden: Compare) -> None:
    golden("history.txt", format_history(HISTORY, NARROW))
    golden("history.json", history_text(HISTORY))


def test_charts_are_drawn_as_written_down(golden: Compare) -> None:
    golden("history-plot.txt", format_history(HISTORY, NARROW, plot=True))
    golden("history-plot-ascii.txt", format_history(HISTORY, ASCII, plot=True))
    golden("history.svg", svg_history(HISTORY))


def test_a_window_without_prices_says_so() -> None:
    nothing = replace(HISTORY, series=(), matching=0)
    assert "No offer that passes the filters had a price then." in format_history(nothing, NARROW)
    assert "No offer that passes the filters had a price then." in svg_history(nothing)


def test_the_quarantine_reads_as_written_down(golden: Compare) -> None:
    golden("quarantine.txt", format_quarantine(QUARANTINE, NARROW))
    golden("quarantine.json", quarantine_text(QUARANTINE))


def test_an_empty_quarantine_says_so() -> None:
    text = format_quarantine(replace(QUARANTINE, rows=()), NARROW)
    assert text == "Quarantine  0 prices held back\n  Nothing waits for a decision.\n"


def test_a_long_quarantine_says_how_much_more() -> None:
    assert "… 1 more: --limit 0" in format_quarantine(QUARANTINE, NARROW, limit=1)


@pytest.mark.parametrize("done", ["released", "rejected"])
def test_a_decision_says_what_follows(done: str, golden: Compare) -> None:
    golden(f"quarantine-{done}.txt", format_decision(replace(QUARANTINE, done=done), NARROW))


def test_an_import_reads_as_written_down(golden: Compare) -> None:
    golden("import.txt", format_import(IMPORT, NARROW))
    golden("import.json", import_text(IMPORT))
    assert "1 of 6 scopes would be imported; nothing was stored" in format_import(replace(IMPORT, dry_run=True), NARROW)


def test_tables_for_others_are_as_written_down(golden: Compare, invented_prices: PriceListAnswer) -> None:
    offers = [row.offer for row in invented_prices.offers]
    golden("export.csv", prices_csv(offers))
    golden("export-focus.csv", focus_csv(offers))


def test_an_export_says_what_it_wrote() -> None:
    from optimizer.report.record_answers import ExportAnswer

    answer = ExportAnswer(file="p.json", format="json", offers=1_204, scopes=3, partial_scopes=1, sha256="ab" * 32)
    assert format_export(answer) == [
        "wrote p.json: 1,204 offers as json, 3 live scopes (1 in part)",
        f"sha256 {'ab' * 32}",
    ]


@pytest.mark.parametrize("width", [72, 80, 132])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_wider_than_the_terminal(width: int, unicode: bool) -> None:
    style = Style(width=width, unicode=unicode)
    for text in (
        format_history(HISTORY, style, plot=True),
        format_quarantine(QUARANTINE, style),
        format_decision(replace(QUARANTINE, done="released"), style),
        format_import(IMPORT, style),
    ):
        assert max(text_width(line) for line in text.splitlines()) <= width
        assert unicode or text.isascii()
