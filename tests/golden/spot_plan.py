"""An invented plan under a spot policy, which no table, prior or solver can move."""

from __future__ import annotations

import dataclasses

import numpy as np

from optimizer.search.results import LineItem, Plan, Quote
from optimizer.search.spot.answer import CheckpointAdvice, Fallback, SpotAnswer
from optimizer.search.spot.availability import AGE_FROM_H
from optimizer.search.spot.policy_table import CONTEXTS, PolicyTable
from optimizer.search.spot.problem import Mode
from providers.basis import Basis, Estimate
from providers.offer import PricingModel
from tests.fixtures.spot_world import invented_problem

HOUR = 3600
ROWS, SLACKS = 3, 6


def invented_table() -> PolicyTable:
    """On-demand below a slack that differs by context and row, waiting or spot above it; never back in the last row."""
    actions = np.full((len(CONTEXTS), ROWS, len(AGE_FROM_H), SLACKS), int(Mode.ON_DEMAND), dtype=np.int8)
    for context, name in enumerate(CONTEXTS):
        other = Mode.IDLE if name.endswith("down") else Mode.SPOT
        for row in range(ROWS):
            actions[context, row, :, 2 + context // 2 + row // 2 :] = int(other)
    actions[CONTEXTS.index("on_demand_up"), ROWS - 1] = int(Mode.ON_DEMAND)
    problem = invented_problem()
    return PolicyTable(
        time_left_s=np.array([11.0, 6.0, 1.0]) * HOUR, slack_step_s=1800.0, actions=actions,
        restart_s=problem.restart_s, net_idle_s=problem.net_idle_s, net_spot_s=problem.net_spot_s,
        deadline_s=problem.deadline_s, work_s=problem.work_s,
    )  # fmt: skip


def invented_answer(plan: Plan) -> SpotAnswer:
    """Everything that can be said of spot, in figures that are easy to recognise."""
    offer = dataclasses.replace(plan.choices[0].offer, pricing_model=PricingModel.SPOT)
    elsewhere = dataclasses.replace(offer, region="venus-2", zone="venus-2b", unit_price_nano=1_250_000_000)
    net = dataclasses.replace(offer, pricing_model=PricingModel.ON_DEMAND, unit_price_nano=4_000_000_000)
    return SpotAnswer(
        executor="policy",
        cost=Estimate(low=6_654_321.0, expected=7_654_321.0, high=9_654_321.0, basis=Basis.ASSUMED),
        worst_usd_micro=15_000_001, finish_probability_ppm=987_654,
        interruptions=Estimate(low=0.7, expected=2.25, high=9.5, basis=Basis.ASSUMED),
        rate_per_hour=Estimate(low=0.125, expected=0.25, high=1.5, basis=Basis.ASSUMED), available_fraction=0.625,
        waiting_s=2.5 * HOUR, spot_s=7.25 * HOUR, on_demand_s=1.5 * HOUR, wasted_s=1_800.0,
        history="no history of this place; counted on invented zones", basis=Basis.ASSUMED,
        checkpoints=CheckpointAdvice(every_s=600.0, chosen=True, best_every_s=590.0, write_s=4.0, waste_fraction=0.061,
                                     notice_s=120.0, waste_on_notice_fraction=0.012),
        fallback=Fallback(offer=net, ceiling_nano=4_400_000_000),
        failover=(Fallback(offer=offer, ceiling_nano=4_000_000_000),
                  Fallback(offer=elsewhere, ceiling_nano=4_000_000_000)),
        problem=invented_problem(), policy=invented_table(),
        deadline_costs=((9 * HOUR, 11_000_000), (10 * HOUR, 9_000_000), (11 * HOUR, 7_654_321)), simulated=400,
    )  # fmt: skip


def under_policy(plan: Plan, **changes: object) -> Plan:
    """Return a plan whose choice follows a policy; `changes` are of its answer."""
    answer = dataclasses.replace(invented_answer(plan), **changes)  # type: ignore[arg-type]
    items = (
        LineItem(name="spot", quantity=7.25 * HOUR, unit="s", usd_micro=4_000_000),
        LineItem(name="on_demand", quantity=1.5 * HOUR, unit="s", usd_micro=3_000_000),
        LineItem(name="billing_rounding", quantity=1_900.0, unit="s", usd_micro=154_321),
        LineItem(name="disk", quantity=12.5, unit="GB", usd_micro=500_000),
    )
    quote = Quote(
        low_usd_micro=6_654_321, expected_usd_micro=7_654_321, high_usd_micro=9_654_321, items=items, billed_s=31_500
    )
    parts = {"setup": 600.0, "train": 30_000.0, "interruptions": 900.0, "waiting": 9_000.0}
    choice = dataclasses.replace(
        plan.choices[0],
        offer=dataclasses.replace(plan.choices[0].offer, pricing_model=PricingModel.SPOT),
        quote=quote,
        duration_s=Estimate(low=30_000.0, expected=40_500.0, high=43_000.0, basis=Basis.ASSUMED),
        duration_parts_s=parts,
        spot=answer,
    )
    return dataclasses.replace(plan, choices=(choice,), job=dataclasses.replace(plan.job, executor="policy"))
