"""Frontier and sensitivity as people and programs read them. Figures are invented; layout and rounding are held."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from optimizer.report.json_frontier import frontier_text
from optimizer.report.json_sensitivity import sensitivity_text
from optimizer.report.style import Style
from optimizer.report.svg_frontier import svg_frontier
from optimizer.report.svg_sensitivity import svg_sensitivity
from optimizer.report.table import text_width
from optimizer.report.text_deadline_price import deadline_lines, describe_deadline_price
from optimizer.report.text_frontier import format_frontier
from optimizer.report.text_sensitivity import format_sensitivity
from optimizer.search.deadline_price import DeadlineStretch
from tests.golden.what_if import PRICE, invented_frontier, invented_sensitivity

if TYPE_CHECKING:
    from collections.abc import Callable

    Compare = Callable[[str, str], None]

WORDS = ["job.toml", "--deadline", "24h"]
NARROW = Style(width=80)


def test_a_frontier_reads_as_written_down(golden: Compare) -> None:
    golden("frontier.txt", format_frontier(invented_frontier(), NARROW, words=WORDS))
    golden("frontier.json", frontier_text(invented_frontier()))
    golden("frontier.svg", svg_frontier(invented_frontier()))


def test_a_sensitivity_reads_as_written_down(golden: Compare) -> None:
    golden("sensitivity.txt", format_sensitivity(invented_sensitivity(), NARROW, words=WORDS))
    golden("sensitivity.json", sensitivity_text(invented_sensitivity()))
    golden("sensitivity.svg", svg_sensitivity(invented_sensitivity()))


@pytest.mark.parametrize("width", [72, 80, 132])
@pytest.mark.parametrize("colour", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, colour: bool) -> None:
    style = Style(width=width, colour=colour)
    for text in (
        format_frontier(invented_frontier(), style, words=WORDS),
        format_sensitivity(invented_sensitivity(), style, words=WORDS),
    ):
        assert max(text_width(line) for line in text.splitlines()) <= width


def test_in_ascii_they_hold_nothing_else() -> None:
    style = Style(unicode=False)
    job = replace(invented_frontier().job, name="ascii")
    assert format_frontier(replace(invented_frontier(), job=job), style, words=WORDS).isascii()
    assert format_sensitivity(replace(invented_sensitivity(), job=job), style, words=WORDS).isascii()


def test_points_that_are_left_out_are_counted() -> None:
    some = format_frontier(invented_frontier(), NARROW, most=1)
    assert "5 of 6 points" in some  # both ends of both levels, and the choice
    assert "--all" in some
    every = format_frontier(invented_frontier(), NARROW, most=None)
    assert "6 points that nothing beats" in every
    assert "--all" not in every


def test_a_frontier_without_a_plan_says_so() -> None:
    points = tuple(replace(one, chosen=False, keeps_deadline=False) for one in invented_frontier().points)
    none = replace(invented_frontier(), points=points, feasible=False)
    text = format_frontier(none, NARROW, words=WORDS)
    assert "Nothing keeps every limit of the job." in text
    assert "$ tunefare plan job.toml --deadline 24h" in text
    document = json.loads(frontier_text(none))
    assert (document["status"], document["chosen"]) == ("infeasible", None)
    mixed = replace(none, feasible=True)
    assert "spreads the runs over several machines" in " ".join(format_frontier(mixed, NARROW).split())
    assert "shard or offload" in " ".join(format_frontier(replace(mixed, lifted=True), NARROW).split())


def test_the_price_of_the_deadline_in_a_sentence() -> None:
    def said(**changes: object) -> str:
        return describe_deadline_price(replace(PRICE, **changes))  # type: ignore[arg-type]

    assert said() == "One hour more saves $1.25, 20.0 min already $1.00; with one hour less nothing is in time."
    assert said(next_saving_usd_micro=1_250_000).startswith("One hour more saves $1.25, as 20.0 min do; ")
    assert said(saved_by_one_hour_more_usd_micro=0, next_saving_after_s=7200.0).startswith(
        "One hour more saves nothing; 2.0 h more (Wed 7 May 2031 07:28 UTC) saves $1.00; "
    )
    assert said(cost_of_one_hour_less_usd_micro=0).endswith("; one hour less costs nothing.")
    assert said(cost_of_one_hour_less_usd_micro=500_000).endswith("; one hour less costs $0.50 more.")
    none = {"saved_by_one_hour_more_usd_micro": 0, "next_saving_at": None, "next_saving_after_s": None}
    assert said(**none).startswith("More time saves nothing: the cheapest of all is in time; ")
    assert said(cost_usd_micro=None) == (
        "Nothing is in time. A deadline 20.0 min later (Wed 7 May 2031 07:28 UTC) makes it possible, for $6.65."
    )
    assert "other limits are in the way" in said(cost_usd_micro=None, next_saving_at=None)
    assert deadline_lines(None, (), NARROW) == []


def test_a_short_stretch_of_deadlines_is_not_told_by_the_hour() -> None:
    def row(from_s: float, to_s: float) -> str:
        stretch = DeadlineStretch(from_s=from_s, to_s=to_s, from_usd_micro=48_220_000, to_usd_micro=38_580_000)
        return " ".join(deadline_lines(None, (stretch,), NARROW)[-1].split())

    assert row(1984.0, 1999.0) == "33m04s – 33m19s $48.22 – $38.58 $9.64 in 15s"
    assert row(3600.0, 10_800.0) == "1h – 3h $48.22 – $38.58 $4.82 an hour"
