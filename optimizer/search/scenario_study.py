"""The use case `study`: how the plan of a job fares when prices and speeds turn out differently.

Two passes over the same scenarios. The first finds what would have been the cheapest in each; the second looks at the
plan's choice and at what won most often, in every scenario. Who works on the blocks of a pass is the caller's affair:
`map_blocks` is an argument, and any that returns the results in the order of the blocks gives the same study.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from providers.errors import JobError

from .choice import settle
from .market import survey
from .planner import snapshot_report
from .quota_places import within_quotas
from .scenario_market import lay_out_scenarios
from .scenario_outcomes import Entry, judge
from .scenario_results import Study
from .scenarios import NOBODY, Assessed, Heat, Winners, assess, blocks_of, finalists_at, find_winners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from optimizer.physics.runs import Ints
    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

    from .choice import Settlement
    from .market import Market
    from .scenario_market import ScenarioMarket
    from .solve import Quota
    from .tables import Tables

Shared = TypeVar("Shared")
Block = TypeVar("Block")
Found = TypeVar("Found")

BLOCK = 250
"""Scenarios of one task: about 15 ms of work, well above what handing it over costs."""
UNDER_A_POLICY = (
    "Spot under a policy is studied with the mix of spot and on-demand that candidates are ranked by; what the policy "
    "itself would do, as `plan` works it out for its choice, may wait longer and cost another amount."
)
FINALISTS = 24
"""Alternatives that are looked at in every scenario."""


class MapBlocks(Protocol):
    """Works on blocks: gives `function(shared, block)` of every block, in the order of the blocks."""

    def __call__(
        self, function: Callable[[Shared, Block], Found], shared: Shared, blocks: Sequence[Block]
    ) -> Iterable[Found]:
        """Return the results in the order of the blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Won:
    """The best of every scenario that has one, shape (n,): place, hardware row, a code for offer x nodes x variant."""

    place: Ints
    hardware: Ints
    kind: Ints


def serially(function: Callable[[Shared, Block], Found], shared: Shared, blocks: Sequence[Block]) -> Iterable[Found]:
    """Return `function(shared, block)` of every block, worked on one after the other."""
    return (function(shared, block) for block in blocks)


def study(
    job: Job,
    snapshot: PriceSnapshot,
    tables: Tables,
    *,
    now: datetime,
    scenarios: int,
    seed: int = 0,
    robust: bool = False,
    quotas: Sequence[Quota] = (),
    map_blocks: MapBlocks = serially,
) -> Study:
    """Return how the plan of a job fares over `scenarios` scenarios of a seed. Same inputs, same study.

    `robust` and `quotas` are those of the plan; what is beyond a quota takes part in no scenario. A job without a plan
    is studied too: `base` is None then. Raises JobError for a sweep, and as `planner.plan` does.
    """
    if job.runs > 1:
        raise JobError(
            where=job.name or "job", key="runs", value=job.runs, allowed="1 for a study: the runs of a sweep are alike"
        )
    settled = settle(within_quotas(survey(job, snapshot, tables, now=now), quotas), quotas, robust=robust)
    market = settled.market
    field = lay_out_scenarios(market)
    blocks = blocks_of(scenarios, seed=seed, size=BLOCK)
    winners = _joined_winners(list(map_blocks(find_winners, field, blocks)))
    won = _won(market, field, winners)
    base = _base(settled, won)
    others = _others(won, apart_from=base)
    entries = [*([base] if base else []), *others[:FINALISTS]]
    outcomes = []
    if entries:
        finalists = finalists_at(market, [one.place for one in entries], [one.hardware for one in entries])
        assessed = _joined(
            list(map_blocks(assess, field, [Heat(block=block, finalists=finalists) for block in blocks]))
        )
        outcomes = [judge(market, one, winners, assessed, at=at) for at, one in enumerate(entries)]
    admitted = [one for one in outcomes if one.admitted]
    offers, offer = market.offers.offers, market.places.offer[won.place]
    return Study(
        made_at=now,
        job=job,
        seed=seed,
        scenarios=scenarios,
        base=outcomes[0] if base else None,
        alternatives=tuple(outcomes[1:] if base else outcomes),
        further_alternatives=max(0, len(others) - FINALISTS),
        steadiest=min(admitted, key=lambda one: one.cost_usd_micro.p90, default=None),
        cheapest_on_average=min(admitted, key=lambda one: one.cost_usd_micro.mean, default=None),
        nothing_fits=int(np.count_nonzero(winners.bill == NOBODY)),
        best_by_gpu=_tally(offer, [one.gpu or "" for one in offers]),
        best_by_provider=_tally(offer, [one.provider for one in offers]),
        best_by_method=_tally(
            market.hardware.variant[won.hardware], [f"{one.method} {one.bits}-bit" for one in market.grid.variants]
        ),
        gpu_models=len(field.gpus),
        price_groups=field.groups,
        candidates=market.candidates(),
        snapshot=snapshot_report(market, snapshot),
        notes=(UNDER_A_POLICY,) if market.has_net and any(market.offers.spot[offer]) else (),
    )


def _base(settled: Settlement, won: Won) -> Entry | None:
    """Return what the plan chooses, with the scenarios that its offer, node count and method win."""
    market, bills = settled.market, settled.bills
    if not settled.solution.chosen:
        return None
    ((at, _),) = settled.solution.chosen
    place, hardware = int(bills.place[at]), int(bills.hardware[at])
    kind = place * len(market.grid.variants) + int(market.hardware.variant[hardware])
    return Entry(kind=kind, place=place, hardware=hardware, best=int(np.count_nonzero(won.kind == kind)))


def _others(won: Won, *, apart_from: Entry | None) -> list[Entry]:
    """Return what else won, most scenarios first; each with the recipe that won most of them."""
    found = []
    kinds, times = np.unique(won.kind, return_counts=True)
    for at in np.lexsort((kinds, -times)):
        if apart_from is None or kinds[at] != apart_from.kind:
            here = won.kind == kinds[at]
            rows, often = np.unique(won.hardware[here], return_counts=True)
            found.append(
                Entry(
                    kind=int(kinds[at]),
                    place=int(won.place[here][0]),
                    hardware=int(rows[np.argmax(often)]),
                    best=int(times[at]),
                )
            )
    return found


def _won(market: Market, field: ScenarioMarket, winners: Winners) -> Won:
    there = winners.bill != NOBODY
    place = field.bills.place[winners.bill[there]]
    hardware = field.rows.hardware[winners.row[there]]
    kind = place * len(market.grid.variants) + market.hardware.variant[hardware]
    return Won(place=place, hardware=hardware, kind=kind)


def _tally(at: Ints, names: Sequence[str]) -> Mapping[str, int]:
    """Return in how many scenarios each name was the best, most first; `at` points into the names."""
    counts: Counter[str] = Counter()
    for one, count in zip(*(values.tolist() for values in np.unique(at, return_counts=True)), strict=True):
        counts[names[one]] += count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _joined_winners(parts: Sequence[Winners]) -> Winners:
    def column(name: str) -> Ints:
        return np.concatenate([getattr(one, name) for one in parts])

    return Winners(bill=column("bill"), row=column("row"), cost_micro=column("cost_micro"))


def _joined(parts: Sequence[Assessed]) -> Assessed:
    columns = {name: np.concatenate([getattr(one, name) for one in parts]) for name in Assessed.__slots__}
    return Assessed(**columns)
