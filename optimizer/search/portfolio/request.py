"""What a portfolio is asked for: jobs with what they are judged by, quotas over start slots, budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from optimizer.search.solve import Quota
    from optimizer.search.tables import Tables
    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

MICRO = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Content:
    """What alike jobs share: everything but name, deadline and budget, with the prices and tables of the job.

    Compared by identity: whoever makes the requests makes one content for all jobs that are alike.
    """

    job: Job
    """Without deadline and budget."""
    snapshot: PriceSnapshot
    tables: Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One job: its content, its own limits, and how it stands among the others. Priority 1 goes first."""

    name: str
    content: Content
    deadline_at: datetime | None
    budget_usd: Decimal | None
    priority: int = 1
    team: str | None = None
    slots: tuple[int, ...] = ()
    """Start slots that it may take, ascending; empty: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A moment at which jobs may start, in seconds from now. It lasts until the next one starts, the last for ever."""

    name: str
    start_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRow:
    """A quota in one slot; `slot` is 0 where there are no slots."""

    quota: Quota
    slot: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What all jobs share. Budgets are dollars for the sum of the high ends; `slots` holds at least one."""

    quotas: tuple[QuotaRow, ...]
    slots: tuple[Slot, ...] = (Slot(name="", start_s=0.0),)
    total_usd: Decimal | None = None
    team_usd: tuple[tuple[str, Decimal], ...] = ()

    @property
    def slotted(self) -> bool:
        """Whether start slots were asked for."""
        return self.slots[0].name != ""

    def budgets(self) -> tuple[tuple[str | None, int], ...]:
        """Return the budgets as (team, or None for all; micro-dollars, rounded down)."""
        total = [] if self.total_usd is None else [(None, int(self.total_usd * MICRO))]
        return (*total, *((team, int(usd * MICRO)) for team, usd in self.team_usd))


def quota_name(quota: Quota) -> str:
    """Return what a quota is on in words: "aws us-east-1 A100-SXM-80GB spot"."""
    names = (quota.provider, quota.region, quota.gpu, quota.pricing_model)
    return " ".join(name for name in names if name is not None)
