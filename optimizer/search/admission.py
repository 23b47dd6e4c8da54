"""Which recipes are not needed: those that shard or offload where a simpler one of the same variant fits the machine.

Nobody moves state to the host, or cuts the weights of an adapter run into shards, on a machine that holds the run
without. So a recipe is *not needed* on a hardware class where a simpler one of the same variant (tuning x width) fits,
that is, keeps memory, host memory and NVMe:

| rank | what | not needed where |
|---|---|---|
| 0 | no offload; for adapters whole weights on every GPU (none, DDP) | |
| 1 | adapters under ZeRO-3 or FSDP | rank 0 fits |
| 2 | offload to CPU or NVMe | rank 0 or 1 fits |

It is a preference, not a limit of the job: `choice.settle` lifts it where no plan keeps every limit under it, so it
never makes a job infeasible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.axes import Offload, Sharding, Tuning

if TYPE_CHECKING:
    from optimizer.physics.recipe import Recipe
    from optimizer.physics.runs import Bools, Ints

PLAIN, SHARDED, OFFLOADED = range(3)
FITTING = ("memory", "host_memory", "nvme")
"""The limits that say whether a recipe fits a machine."""


def rank_of(recipe: Recipe) -> int:
    """Return how complicated it is to hold the state of a recipe: PLAIN, SHARDED or OFFLOADED."""
    if recipe.offload is not Offload.NONE:
        return OFFLOADED
    cuts_weights = recipe.sharding in {Sharding.ZERO3, Sharding.FSDP}
    return SHARDED if cuts_weights and recipe.tuning is not Tuning.FULL else PLAIN


def not_needed(group: Ints, rank: Ints, *, fits: Bools) -> Bools:
    """Return where a recipe is not needed, shape (n,): one of its group with a lower rank fits."""
    groups = int(group.max()) + 1 if group.size else 0
    surplus = np.zeros(group.shape, dtype=np.bool_)
    for simpler in (PLAIN, SHARDED):
        fitting = np.bincount(group[fits & (rank == simpler)], minlength=groups) > 0
        surplus |= (rank > simpler) & fitting[group]
    return surplus
