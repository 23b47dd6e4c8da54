"""How far the errors of the speeds of different GPU models go together.

One cause of error is the same on every GPU: the software stack of the job, and what is trained with it. It moves all
speeds alike and hardly changes which is the cheapest; what is left is each GPU model's own. The step of GPU model g is

    z_g = sqrt(r_g) z_0 + sqrt(1 - r_g) e_g        r_g = common variance / variance of log speed on g

with z_0 shared and e_g its own, both standard normal: so is z_g, and durations keep their distribution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.axes import Stack, code

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats
    from optimizer.physics.speed_constants import SpeedConstants
    from optimizer.workload.job import Job

    from .market import Market
    from .scenario_market import RowColumns


def common_variance(job: Job, constants: SpeedConstants) -> float:
    """Return the variance of log speed that the causes common to all GPUs make up (`physics.speed_uncertainty`)."""
    sigma = constants.sigma
    causes = (
        (True, float(constants.stack_sigma[code(Stack(job.stack))])),
        (not job.stack_known, sigma.unknown_stack),
        (job.objective == "dpo", sigma.dpo),
        (job.objective == "ppo", sigma.ppo),
        (job.model.moe_experts > 0, sigma.moe),
    )
    return float(sum(deviation**2 for there, deviation in causes if there))


def common_shares(market: Market, rows: RowColumns, gpus: tuple[str, ...]) -> Floats:
    """Return the share of the variance of log speed that GPU models have in common, shape (gpus,), from 0 to 1.

    By the median row of each model. Where runs of the stack were measured on a card nothing common is left.
    """
    common = common_variance(market.job, market.tables.speed)
    measured = {card.gpu for card in market.tables.calibration if card.speed is not None and card.sigma is not None}
    shares = np.zeros(len(gpus))
    for at, gpu in enumerate(gpus):
        own = rows.sigma[rows.gpu == at]
        if own.size and gpu not in measured:
            shares[at] = min(1.0, common / max(float(np.median(own)) ** 2, 1e-12))
    return shares
