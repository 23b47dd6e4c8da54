"""What a plan says about a spot machine, put together: by the closed form, or by a policy and its drawn runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from providers.basis import Basis, Estimate

from .candidates import rates_at, worst_micro
from .cost import items_beside_machines, quote
from .results import LineItem, Quote
from .spot.answer import SpotAnswer
from .spot_candidates import (
    checkpoint_advice,
    drawn_of,
    failover_of,
    finish_probability_ppm,
    interruptions_of,
    moments_of,
    net_of,
    rate_of,
    rounding_of,
)
from .spot_policies import drawn_runs, exact_micro, solution_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .cost import Bill
    from .spot.dynamic_program import SpotSolution
    from .spot_candidates import SpotRun
    from .spot_policies import PolicyRuns
    from .spot_rows import SpotTimes
    from .spot_simulated import Drawn

MOST_DEADLINES = 8
"""Shorter deadlines whose cost a plan shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotShown:
    """A spot candidate as it is shown: its bill, its time by the clock and by cause, and the rest of the answer."""

    quote: Quote
    duration_s: Estimate
    parts_s: Mapping[str, float]
    """Sum to `duration_s.expected`."""
    finish_s: float
    """Within which the run ends at the confidence asked for."""
    answer: SpotAnswer


def shown(run: SpotRun, bill: Bill) -> SpotShown:
    """Return a spot candidate with its bill: `bill` holds terms, price and disk; its times are those of the row."""
    return _under_policy(run, bill) if run.has_net else _in_closed_form(run, bill)


def held_parts(parts_s: Mapping[str, float], times: SpotTimes, *, repeated: float) -> dict[str, float]:
    """Return what a machine is held for while nothing goes wrong, median seconds by cause.

    `parts_s` are those of a machine that stays, `repeated` how often work is done on average.
    """
    writes = float(times.machine_s[0] - times.work_s[0])
    # Work done again is a share of everything that scales; the checkpoints of a spot run are counted whole.
    again = (repeated - 1.0) * (parts_s["train"] + parts_s["evaluation"])
    return {**parts_s, "checkpoints": writes, "failed_runs": again}


def lost_parts(held: Mapping[str, float], *, expected_s: float, held_fraction: float) -> dict[str, float]:
    """Return the parts of a run without a net: what is held, what is done again, waits; they sum to `expected_s`."""
    again = max(held_fraction * expected_s - sum(held.values()), 0.0)
    return {**held, "interruptions": again, "waiting": expected_s - sum(held.values()) - again}


def clock_without_net(ranked: Estimate, finish_s: float, drawn: Drawn | None) -> tuple[Estimate, float]:
    """Return the time by the clock without a net, and the finish time at the confidence asked for: both as drawn.

    What the columns say (`ranked`, `finish_s`) holds where nothing was drawn, and for runs that never end.
    """
    if drawn is None:
        return ranked, finish_s
    high = drawn.high_s if np.isfinite(drawn.high_s) else ranked.high
    low, expected = min(drawn.low_s, ranked.expected), ranked.expected
    duration = Estimate(low=low, expected=expected, high=max(high, expected), basis=Basis.ASSUMED)
    return duration, drawn.finish_s if np.isfinite(drawn.finish_s) else finish_s


def _held(run: SpotRun) -> dict[str, float]:
    row = int(run.market.hardware.row[run.hardware])
    parts = {name: float(part[row]) for name, part in run.market.physics.duration.parts_s.items()}
    return held_parts(parts, run.times, repeated=run.job.overheads.failed_run_multiplier)


def _in_closed_form(run: SpotRun, bill: Bill) -> SpotShown:
    market, row = run.market, run.hardware
    moments = moments_of(run)
    # Without a deadline nothing hangs on the tail: the columns will do unless draws are asked for.
    drawn = None if run.left_s is None and market.draws is None else drawn_of(run)
    parts = lost_parts(_held(run), expected_s=bill.expected_s, held_fraction=bill.held_fraction)
    ranked = Estimate(low=bill.low_s, expected=bill.expected_s, high=bill.high_s, basis=Basis.ASSUMED)
    duration, finish_s = clock_without_net(ranked, float(market.hardware.finish_s[row]), drawn)
    cost = quote(
        replace(bill, parts_s={name: part for name, part in parts.items() if name != "waiting"}),
        overheads=run.job.overheads,
        runs=run.job.runs,
        storage=market.tables.storage,
    )
    answer = SpotAnswer(
        executor=run.job.executor,
        cost=_estimate(cost),
        worst_usd_micro=None,
        finish_probability_ppm=finish_probability_ppm(run),
        interruptions=interruptions_of(run, float(moments.interruptions[0]), spot_s=float(moments.billed_mean_s[0])),
        rate_per_hour=rate_of(run.prior),
        available_fraction=run.prior.expected.available_fraction,
        waiting_s=parts["waiting"],
        spot_s=bill.held_fraction * bill.expected_s,
        on_demand_s=0.0,
        wasted_s=float(moments.lost_s[0] + moments.restarting_s[0]),
        history=run.prior.history,
        basis=Basis.ASSUMED,
        checkpoints=checkpoint_advice(run),
        failover=failover_of(run) if run.job.executor != "none" else (),
        simulated=0 if drawn is None else drawn.runs,
    )
    return SpotShown(quote=cost, duration_s=duration, parts_s=parts, finish_s=finish_s, answer=answer)


def _under_policy(run: SpotRun, bill: Bill) -> SpotShown:
    drawn, solution = drawn_runs(run), solution_of(run)
    cost = _policy_quote(run, bill, drawn)
    held = _held(run)
    extra = drawn.expected_s - sum(held.values())
    waiting = min(drawn.waiting_s, max(extra, 0.0))
    parts = {**held, "interruptions": extra - waiting, "waiting": waiting}
    rates = rates_at(run.market, np.array([run.place]), np.array([run.hardware]))
    worst = int(worst_micro(run.market, rates, np.array([run.place]), np.array([run.hardware]))[0])
    answer = SpotAnswer(
        executor=run.job.executor,
        cost=_estimate(cost),
        worst_usd_micro=max(worst, cost.high_usd_micro),
        finish_probability_ppm=finish_probability_ppm(run),
        interruptions=interruptions_of(run, drawn.interruptions, spot_s=drawn.spot_s),
        rate_per_hour=rate_of(run.prior),
        available_fraction=run.prior.expected.available_fraction,
        waiting_s=drawn.waiting_s,
        spot_s=drawn.spot_s,
        on_demand_s=drawn.on_demand_s,
        wasted_s=drawn.wasted_s,
        history=run.prior.history,
        basis=Basis.ASSUMED,
        checkpoints=checkpoint_advice(run),
        fallback=net_of(run),
        failover=failover_of(run),
        problem=solution.problem,
        policy=solution.table,
        deadline_costs=_deadline_costs(solution, cost, drawn),
        needed_s=float(run.market.hardware.finish_s[run.hardware]),
        simulated=drawn.runs,
    )
    duration = Estimate(low=drawn.low_s, expected=drawn.expected_s, high=drawn.high_s, basis=Basis.ASSUMED)
    finish_s = drawn.confident_s
    if run.left_s is not None and answer.finish_probability_ppm >= run.job.confidence_ppm:
        # So sure by the net: that a few drawn runs too many are slow is noise.
        finish_s = min(finish_s, run.left_s)
    return SpotShown(quote=cost, duration_s=duration, parts_s=parts, finish_s=finish_s, answer=answer)


def _policy_quote(run: SpotRun, bill: Bill, drawn: PolicyRuns) -> Quote:
    expected = int(exact_micro(run))
    others = items_beside_machines(bill, run.job.overheads, runs=run.job.runs, storage=run.market.tables.storage)
    over_s, over_micro = rounding_of(run)
    others.insert(0, LineItem(name="billing_rounding", quantity=over_s, unit="s", usd_micro=round(over_micro)))
    beside = sum(item.usd_micro for item in others)
    machines = expected - beside
    on_spot = min(round(drawn.spot_micro), machines)
    items = [
        LineItem(name="spot", quantity=drawn.spot_s * run.nodes, unit="s", usd_micro=on_spot),
        LineItem(name="on_demand", quantity=drawn.on_demand_s * run.nodes, unit="s", usd_micro=machines - on_spot),
    ]
    return Quote(
        low_usd_micro=min(round(drawn.low_micro), machines) + beside,
        expected_usd_micro=expected,
        high_usd_micro=max(round(drawn.high_micro), machines) + beside,
        items=(*items, *others),
        billed_s=round(drawn.spot_s + drawn.on_demand_s + over_s / run.nodes),
    )


def _deadline_costs(solution: SpotSolution, cost: Quote, drawn: PolicyRuns) -> tuple[tuple[int, int], ...]:
    """Return shorter deadlines, seconds from now, with the expected cost of each; the last is the job's own."""
    beside = cost.expected_usd_micro - round(drawn.expected_micro)
    deadlines, micro = solution.cost_by_deadline()
    least = solution.problem.work_s + solution.problem.restart_s
    possible = np.flatnonzero((deadlines >= least) & np.isfinite(micro))
    if possible.size == 0:
        return ()
    at = np.unique(np.linspace(0, possible.size - 1, min(MOST_DEADLINES, possible.size)).round().astype(np.int64))
    return tuple((int(deadlines[one]), round(float(micro[one])) + beside) for one in possible[at])


def _estimate(cost: Quote) -> Estimate:
    return Estimate(
        low=float(cost.low_usd_micro),
        expected=float(cost.expected_usd_micro),
        high=float(cost.high_usd_micro),
        basis=Basis.ASSUMED,
    )
