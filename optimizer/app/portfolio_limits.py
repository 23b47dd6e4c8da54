"""Quotas, slots and budgets as the search takes them, and what to say of those that limit nothing."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from optimizer.search.portfolio.request import Limits, QuotaRow, Slot
from providers.errors import JobError
from providers.units import DURATION_ALLOWED, MOMENT_ALLOWED, format_moment, parse_duration, parse_moment

from .quotas import idle_note, search_quota, with_known_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.search.portfolio.results import Portfolio
    from optimizer.workload.portfolio_file import PortfolioInput
    from optimizer.workload.quota_input import SlotInput
    from providers.gpus import GpuTable
    from providers.offer import Offer


def limits_of(asked: PortfolioInput, *, now: datetime, gpus: GpuTable) -> Limits:
    """Return the quotas of every slot, the slots in order of time, the budgets.

    Raises JobError for a GPU that the table does not know, and for a start that is past or no moment or span.
    """
    common = {quota.names: search_quota(quota, gpus=gpus, where=asked.where) for quota in asked.quotas}
    starts = {slot.name: _start_s(slot, now=now, where=asked.where) for slot in asked.slots}
    ordered = sorted(asked.slots, key=lambda slot: starts[slot.name])
    for before, after in itertools.pairwise(ordered):
        if starts[before.name] == starts[after.name]:
            allowed = f"a start of its own: slot {before.name} starts then too"
            raise JobError(where=asked.where, key=f"slot {after.name!r}: start", value=after.start, allowed=allowed)
    slots = tuple(Slot(name=slot.name, start_s=starts[slot.name]) for slot in ordered)
    rows = [QuotaRow(quota=quota) for quota in common.values()]
    if slots:
        rows = []
        for at, slot in enumerate(ordered):
            own = {quota.names: search_quota(quota, gpus=gpus, where=asked.where) for quota in slot.quotas}
            rows += [QuotaRow(quota=quota, slot=at) for quota in (common | own).values()]
    return Limits(
        quotas=tuple(rows),
        slots=slots or (Slot(name="", start_s=0.0),),
        total_usd=asked.budget.total,
        team_usd=tuple(sorted(asked.budget.teams.items())),
    )


def slot_numbers(asked: PortfolioInput, *, now: datetime) -> dict[str, int]:
    """Return the place of every slot in the order of time, by name."""
    starts = {slot.name: _start_s(slot, now=now, where=asked.where) for slot in asked.slots}
    return {name: at for at, name in enumerate(sorted(starts, key=lambda name: starts[name]))}


def _start_s(slot: SlotInput, *, now: datetime, where: str) -> float:
    key = f"slot {slot.name!r}: start"
    if isinstance(slot.start, str) and slot.start.strip().lower() == "now":
        return 0.0
    try:
        moment = _start_moment(slot.start)
        seconds = parse_duration(str(slot.start)) if moment is None else (moment - now).total_seconds()
    except ValueError as err:
        allowed = f'"now"; {DURATION_ALLOWED}; or {MOMENT_ALLOWED}'
        raise JobError(where=where, key=key, value=slot.start, allowed=allowed) from err
    if seconds < 0.0:
        raise JobError(where=where, key=key, value=slot.start, allowed=f"now ({format_moment(now)}) or later")
    return seconds


def _start_moment(said: str | datetime) -> datetime | None:
    """Return the moment of a start; None for a span. Raises ValueError for a moment without a zone."""
    if isinstance(said, datetime):
        if said.tzinfo is None:
            raise ValueError(MOMENT_ALLOWED)
        return said.astimezone(UTC)
    return parse_moment(said) if re.match(r"\s*\d{4}-", said) else None


def with_known_places(limits: Limits, offers: Sequence[Offer], *, where: str) -> Limits:
    """Return the limits with providers and regions as the price list writes them (`AWS` is `aws`).

    Raises JobError for a name that no price is known for and that looks like a typing error; one that looks like
    nothing known is left, and `quota_notes` says that it limits nothing.
    """
    known = with_known_names([row.quota for row in limits.quotas], offers, where=where)
    rows = zip(limits.quotas, known, strict=True)
    return Limits(
        quotas=tuple(QuotaRow(quota=quota, slot=row.slot) for row, quota in rows),
        slots=limits.slots,
        total_usd=limits.total_usd,
        team_usd=limits.team_usd,
    )


def quota_notes(answer: Portfolio) -> list[str]:
    """Return which quotas cover no offer at all: written for another price list, or mistyped."""
    return idle_note([use.quota for use in answer.quotas if use.offers == 0])


def budget_notes(asked: PortfolioInput) -> list[str]:
    """Return which budgets are of teams without a job. Raises JobError for one that looks like a typing error."""
    teams = {job.team for job in asked.jobs if job.team is not None}
    idle = [name for name in asked.budget.teams if name not in teams]
    for name in idle:
        close = get_close_matches(name, sorted(teams - set(asked.budget.teams)), n=1, cutoff=0.6)
        if close:
            allowed = f"a team that has jobs, or total; did you mean {close[0]}?"
            raise JobError(
                where=asked.where, key=f"budget.{name}", value=str(asked.budget.teams[name]), allowed=allowed
            )
    return [f"No job is of the team of the budget {name}." for name in idle]
