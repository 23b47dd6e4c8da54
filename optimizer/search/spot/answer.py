"""What a plan says about a spot machine: what was assumed, what it comes to, and the policy to follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from providers.basis import Basis, Estimate
    from providers.offer import Offer

    from .policy_table import PolicyTable
    from .problem import SpotProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """An offer to turn to, and the most that may be paid for it: billionths of a dollar per instance-hour."""

    offer: Offer
    ceiling_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointAdvice:
    """How often to write checkpoints, and what writing them on the provider's notice would change."""

    every_s: float
    """Work between two checkpoints that the figures assume."""
    chosen: bool
    """Whether the interval was chosen here; False where the job states it."""
    best_every_s: float
    """The interval that wastes least."""
    write_s: float
    waste_fraction: float
    """Share of the time on spot machines that writing, lost work and restarts take."""
    notice_s: float
    """Warning that the provider gives before it takes a machine; 0 for none, or none known."""
    waste_on_notice_fraction: float | None
    """The same share with a checkpoint written on notice; None where there is no notice, or it is too short for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotAnswer:
    """A spot candidate in full. Money in micro-dollars of one run, everything on its bill included."""

    executor: str
    """Who acts when a machine is lost: none, policy or skypilot."""
    cost: Estimate
    """Low and high are 10 % and 90 % quantiles."""
    worst_usd_micro: int | None
    """What the run costs at most, throughput at its slow end: with the net, all of it on on-demand machines, and the
    waste that the policy may run up. None where nothing bounds it."""
    finish_probability_ppm: int
    interruptions: Estimate
    """Number of machines lost in a run."""
    rate_per_hour: Estimate
    """Losses per hour of availability."""
    available_fraction: float
    waiting_s: float
    """Expected time without a machine."""
    spot_s: float
    on_demand_s: float
    """Expected machine time on each pricing model, per instance."""
    wasted_s: float
    """Of these, paid without progress that lasts."""
    history: str
    """Where the hazards come from, in words."""
    basis: Basis
    checkpoints: CheckpointAdvice
    fallback: Fallback | None = None
    """The on-demand offer that the safety net uses."""
    failover: tuple[Fallback, ...] = ()
    """Where to look for the next spot machine, in this order, the plan's own offer first."""
    problem: SpotProblem | None = None
    policy: PolicyTable | None = None
    deadline_costs: tuple[tuple[int, int], ...] = ()
    """Deadlines (seconds from now) and the expected cost with each; empty without a policy."""
    needed_s: float | None = None
    """Under a policy: the time from now that the net needs to end the run as surely as asked for; what the deadline is
    checked against. The run itself may take until the deadline."""
    simulated: int = 0
    """Runs that the interval was drawn from; 0: closed form."""
