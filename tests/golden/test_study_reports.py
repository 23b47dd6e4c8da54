"""A study as people and programs read it, word for word, from invented figures."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from optimizer.report.json_study import study_text
from optimizer.report.style import Style
from optimizer.report.table import text_width
from optimizer.report.text_study import format_share, format_study
from optimizer.search.scenario_results import Outcome, Spread, Study

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.search.results import Candidate, Plan

    Compare = Callable[[str, str], None]


def outcome(candidate: Candidate, *, best: int, dearer: int = 0, kept: int = 9_700) -> Outcome:
    return Outcome(
        candidate=candidate,
        best=best,
        in_time=9_812,
        in_budget=9_888,
        kept=kept,
        cost_usd_micro=Spread(p10=5_100_000, p50=7_654_321 + dearer, p90=11_500_000 + dearer, mean=7_900_001 + dearer),
        duration_s=Spread(p10=3_100, p50=4_800, p90=7_300, mean=5_010),
        regret_usd_micro=Spread(p10=0, p50=250_000, p90=1_900_000, mean=640_000) if kept else None,
        admitted=dearer == 0,
    )


@pytest.fixture
def invented_study(invented_plan: Plan) -> Study:
    base = outcome(invented_plan.choices[0], best=6_100)
    other = outcome(invented_plan.runners_up[0], best=3_850, dearer=800_000)
    return Study(
        made_at=invented_plan.made_at,
        job=invented_plan.job,
        seed=11,
        scenarios=10_000,
        base=base,
        alternatives=(other,),
        further_alternatives=3,
        steadiest=other,
        cheapest_on_average=base,
        nothing_fits=7,
        best_by_gpu={"ZETA-9-64GB": 9_950, "OMEGA-1-8GB": 43},
        best_by_provider={"nimbus": 9_993},
        best_by_method={"lora 16-bit": 9_993},
        gpu_models=2,
        price_groups=5,
        candidates=1_234,
        snapshot=invented_plan.snapshot,
        notes=("Prices are from a list.",),
    )


def test_a_study_reads_as_written_down(invented_study: Study, golden: Compare) -> None:
    text = format_study(invented_study, Style(width=80))
    assert max(text_width(line) for line in text.splitlines()) <= 80
    golden("study.txt", text)


def test_a_study_is_the_document_written_down(invented_study: Study, golden: Compare) -> None:
    golden("study.json", study_text(invented_study))


def test_a_study_without_a_plan_reads_as_written_down(invented_study: Study, golden: Compare) -> None:
    nothing = dataclasses.replace(
        invented_study, base=None, steadiest=None, cheapest_on_average=None, nothing_fits=9_000
    )
    golden("study-infeasible.txt", format_study(nothing, Style(width=80, unicode=False), words=["job.toml"]))


def test_a_choice_that_is_robust_itself_is_not_named_again(invented_study: Study) -> None:
    alone = dataclasses.replace(invented_study, steadiest=invented_study.base)
    text = " ".join(format_study(alone, Style()).split())
    assert "The plan's choice is the safest and the cheapest on average" in text
    never = outcome(invented_study.base.candidate, best=0, kept=0)
    assert "it never keeps the limits" in format_study(dataclasses.replace(invented_study, base=never), Style())


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 %"), (1, "0.1 %"), (55, "5.5 %"), (500, "50 %"), (999, "99.9 %"), (1000, "100 %")]
)
def test_a_share_is_nothing_or_everything_only_where_it_is(count: int, shown: str) -> None:
    assert format_share(count, 1000) == shown
    assert format_share(99_999, 100_000) == ">99.9 %"
    assert format_share(1, 100_000) == "<0.1 %"
