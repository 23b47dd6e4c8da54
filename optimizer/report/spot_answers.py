"""What `simulate` and `next` answer, before it is written as text or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimizer.search.spot.next_step import NextStep, RunState
    from optimizer.search.spot.problem import SpotProblem
    from optimizer.search.spot.simulation import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPart:
    """The policies over one trace, or over drawn episodes, and the run that they were compared for."""

    comparison: Comparison
    problem: SpotProblem
    file: str | None
    """None for drawn episodes."""
    instance: str
    source: str
    step_s: float
    solved: bool
    """Whether the policy was worked out for this trace; False where it is the plan's table as it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationAnswer:
    """Policies side by side: each trace, all of them together (None for fewer than two), drawn episodes."""

    plan: str | None
    """The plan file; None where flags alone said what runs."""
    traces: tuple[SimulatedPart, ...]
    together: Comparison | None
    drawn: SimulatedPart | None
    every_s: float | None
    """Between the starts of two episodes; None where each window is one episode, or nothing was replayed."""
    seed: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedOffer:
    """An offer that a plan names: where, what, and the most that may be paid (billionths per instance-hour)."""

    provider: str
    region: str
    zone: str | None
    instance_type: str
    pricing_model: str
    ceiling_nano: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextAnswer:
    """The next step of a plan, the state that it was asked for, and the offers to turn to."""

    plan: str
    state: RunState
    step: NextStep
    elapsed_s: float
    nodes: int
    spot: tuple[NamedOffer, ...]
    """Where to start spot machines, in this order."""
    on_demand: NamedOffer | None
    """What the safety net starts; None where the plan names none."""

    @property
    def offers(self) -> tuple[NamedOffer, ...]:
        """The offers that the action is about, first choice first; none for waiting."""
        if self.step.action.value == "spot":
            return self.spot
        if self.step.action.value == "on_demand":
            return () if self.on_demand is None else (self.on_demand,)
        return ()

    @property
    def starts_machine(self) -> bool:
        """Whether the action starts a machine, rather than going on with the one that runs."""
        running = self.state.mode.name.lower()
        if running == "spot" and not self.state.spot_up:
            running = "idle"
        return self.step.action.value in {"spot", "on_demand"} and self.step.action.value != running
