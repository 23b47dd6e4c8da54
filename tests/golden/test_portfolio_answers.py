"""Portfolios as text, JSON and CSV, from invented results that no table or fitted constant can move."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from optimizer.report.csv_portfolio import portfolio_csv
from optimizer.report.json_portfolio import portfolio_text
from optimizer.report.style import Style
from optimizer.report.text_portfolio import format_portfolio
from optimizer.search.portfolio.results import (
    Money,
    PlacedJob,
    Portfolio,
    PortfolioSolver,
    PortfolioStatus,
    QuotaUse,
    Reason,
    SolverStatus,
    TeamTotal,
    UnplacedJob,
)
from optimizer.search.solve import Quota

if TYPE_CHECKING:
    from optimizer.search.results import Plan


@pytest.fixture
def answer(invented_plan: Plan) -> Portfolio:
    plan = invented_plan
    (choice,) = plan.choices
    job = plan.job
    one = PlacedJob(
        job=replace(job, name="ner"), priority=1, team="nlp", choices=(choice,), starts_s=(0.0,), slots=("day",)
    )
    sweep = PlacedJob(
        job=replace(job, name="=sweep", runs=3),
        priority=2,
        team=None,
        choices=(replace(choice, runs=2), replace(choice, runs=1, nodes=2)),
        starts_s=(0.0, 36_000.0),
        slots=("day", "night"),
    )
    left = UnplacedJob(
        job=replace(job, name="late"),
        priority=2,
        team="nlp",
        reason=Reason.CROWDED_OUT,
        limit="quota zeta mars-1",
        sentence="It would fit alone; the others leave 0 of the 8 GPUs of quota zeta mars-1, and it needs 8.",
    )
    money = Money(low_usd_micro=20_000_000, expected_usd_micro=31_500_000, high_usd_micro=44_000_000)
    total = TeamTotal(
        team=None, jobs=3, placed=2, cost=money, budget_usd_micro=50_000_000, charged_usd_micro=45_250_000
    )
    return Portfolio(
        status=PortfolioStatus.PARTIAL,
        made_at=plan.made_at,
        placed=(one, sweep),
        unplaced=(left,),
        total=money,
        teams=(total, replace(total, team="", jobs=1, placed=1, budget_usd_micro=None), replace(total, team="nlp")),
        quotas=(
            QuotaUse(
                quota=Quota(gpus=8, provider="zeta", region="mars-1"),
                slot="day",
                used=8,
                saves_usd_micro=1_234_567,
                places_ppm=125_000,
                offers=4,
            ),
            QuotaUse(
                quota=Quota(gpus=16, provider="zeta", gpu="ZETA-9-64GB", pricing_model="spot"),
                slot="night",
                used=4,
                saves_usd_micro=0,
                places_ppm=0,
                offers=0,
            ),
        ),
        solver=PortfolioSolver(
            status=SolverStatus.TIME_LIMIT,
            gap_ppm=1_234,
            bound_usd_micro=31_461_129,
            fewest_unplaced_proven=True,
            columns=1_234,
            iterations=3,
            held=345,
            timings_s={"survey": 0.1, "solver": 0.25},
        ),
        snapshot=plan.snapshot,
        notes=("An invented note.",),
        order=("ner", "late", "=sweep"),
    )


def test_text(answer, golden):
    golden("portfolio.txt", format_portfolio(answer, Style(width=110)))


def test_text_in_ascii_on_a_narrow_terminal(answer, golden):
    golden("portfolio-ascii.txt", format_portfolio(answer, Style(width=72, unicode=False), verbose=True))


def test_json(answer, golden):
    golden("portfolio.json", portfolio_text(answer))


def test_csv(answer, golden):
    golden("portfolio.csv", portfolio_csv(answer))
