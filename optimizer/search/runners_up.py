"""The runners-up: alternatives that differ in a way that matters, not the same machine in five regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .choice import ranking
from .showing import candidate_at

if TYPE_CHECKING:
    from .candidates import Bills
    from .market import Market
    from .results import Candidate

PER_MACHINE = 2
"""At most so many of the table, the choice included, on the same GPU and count: the method is then what differs."""


def runners_up(market: Market, bills: Bills, choices: tuple[Candidate, ...], *, top: int) -> tuple[Candidate, ...]:
    """Return the best alternatives, cheapest first: one for each GPU, count of GPUs, width and method."""
    ranked = ranking(market, bills)
    gpu_ids = sorted({machine.gpu.id for machine in market.offers.machines})
    gpu_of = np.array([gpu_ids.index(machine.gpu.id) for machine in market.offers.machines], dtype=np.int64)
    counts = np.array([machine.gpu_count for machine in market.offers.machines], dtype=np.int64)
    offer = market.places.offer[bills.place]
    machine = market.offers.machine[offer]
    gpus = counts[machine] * market.places.nodes[bills.place]
    kind = gpu_of[machine] * (int(gpus.max()) + 1) + gpus
    group = kind * len(market.grid.variants) + market.hardware.variant[bills.hardware]
    _, first = np.unique(group[ranked], return_index=True)
    taken = {(one.gpu.id, one.offer.gpu_count * one.nodes, one.recipe.method, one.recipe.bits) for one in choices}
    shown = {(gpu, count): PER_MACHINE - 1 for gpu, count, _, _ in taken}
    found: list[Candidate] = []
    for at in ranked[np.sort(first)]:
        if len(found) >= top:
            break
        variant = market.grid.variants[int(market.hardware.variant[bills.hardware[at]])]
        where = (gpu_ids[int(gpu_of[machine[at]])], int(gpus[at]))
        if (*where, variant.method, variant.bits) in taken or shown.get(where, PER_MACHINE) == 0:
            continue
        shown[where] = shown.get(where, PER_MACHINE) - 1
        found.append(candidate_at(market, int(bills.place[at]), int(bills.hardware[at])))
    return tuple(found)
