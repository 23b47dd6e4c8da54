"""A plan under a spot policy as people and programs read it. Figures are invented; layout and rounding are held."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from optimizer.report.json_plan import plan_text
from optimizer.report.style import Style
from optimizer.report.table import text_width
from optimizer.report.text_plan import format_plan
from tests.golden.spot_plan import under_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.search.results import Plan

    Compare = Callable[[str, str], None]


def test_a_plan_under_a_policy_reads_as_written_down(golden: Compare, invented_plan: Plan) -> None:
    plan = under_policy(invented_plan)
    golden("plan-policy.txt", format_plan(plan, Style(width=80)))
    golden("plan-policy.json", plan_text(plan))


@pytest.mark.parametrize("width", [72, 80, 132])
@pytest.mark.parametrize("colour", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, colour: bool, invented_plan: Plan) -> None:
    text = format_plan(under_policy(invented_plan), Style(width=width, colour=colour))
    section = text[text.index("When the spot machine is lost") : text.index("Runners-up")]
    assert max(text_width(line) for line in section.splitlines()) <= width


def test_in_ascii_it_holds_nothing_else(invented_plan: Plan) -> None:
    text = format_plan(under_policy(invented_plan), Style(unicode=False))
    section = text[text.index("When the spot machine is lost") : text.index("Runners-up")]
    assert section.isascii()


def test_the_document_names_whom_to_turn_to_and_sums_up(invented_plan: Plan) -> None:
    document = json.loads(plan_text(under_policy(invented_plan)))
    spot = document["choice"]["spot"]
    assert sum(line["usd_micro"] for line in document["components"]) == document["cost_usd_micro"]["expected"]
    assert sum(document["duration_parts_s"].values()) == document["duration_s"]["expected"]
    assert spot["fallback"]["pricing_model"] == "on_demand"
    assert [one["region"] for one in spot["failover"]] == ["mars-1", "venus-2"]
    assert spot["policy"] is not None
    assert spot["worst_usd_micro"] == 15_000_001
    others = json.loads(plan_text(dataclasses.replace(under_policy(invented_plan), runners_up=())))
    assert others["choice"]["spot"] == spot
