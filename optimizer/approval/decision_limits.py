"""The limits of a policy beside its rules, each a question to the action that answers with a finding or nothing."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from providers.basis import Basis
from providers.gpus import load_gpus, normal_name
from providers.units import format_duration

from .policy_terms import KINDS
from .records import Finding, Level
from .rules_facts import gpus_at_most, plan_age_s, rented, usd_micro_per_hour_at_most

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from .plan_file import PlanFile
    from .policy_terms import Defaults, LeastBasis, Limit
    from .rules_facts import Rented

MICRO = 1_000_000


def default_findings(defaults: Defaults, plan: PlanFile, now: datetime) -> Iterator[Finding]:
    """Yield what the defaults of a policy say against a plan; each of it denies."""
    age = plan_age_s(plan, now)
    if age > defaults.plan_max_age_s:
        most = format_duration(defaults.plan_max_age_s)
        yield _deny("plan_max_age", f"the plan is {format_duration(age)} old, at most {most} are allowed: plan again")
    if not defaults.allow_list_price and any(one.price_class == "list" for one in plan.quotes):
        yield _deny("allow_list_price", "the plan was made with a list price: refresh prices and plan again")
    for words in _basis(defaults.least_basis, plan):
        yield _deny("least_basis", words)


def limit_findings(limit: Limit, plan: PlanFile, now: datetime) -> Iterator[Finding]:
    """Yield a finding of the limit's level for everything of it that the plan breaks."""
    for words in _broken(limit, plan, now):
        said = words if limit.message is None else f"{limit.message} ({words})"
        yield Finding(rule=limit.name, level=limit.level, message=said)


def _broken(limit: Limit, plan: PlanFile, now: datetime) -> Iterator[str]:
    action = plan.action
    yield from _lists(limit, plan)
    per_hour = usd_micro_per_hour_at_most(action)
    if limit.max_usd_micro_per_hour is not None and per_hour > limit.max_usd_micro_per_hour:
        yield f"up to {dollars(per_hour)} an hour, at most {dollars(limit.max_usd_micro_per_hour)} are allowed"
    if limit.max_usd_micro_per_job is not None and action.cap_usd_micro > limit.max_usd_micro_per_job:
        yield f"up to {dollars(action.cap_usd_micro)}, at most {dollars(limit.max_usd_micro_per_job)} are allowed"
    longest = max(one.time_limit_s for one in action.placements)
    if limit.max_duration_s is not None and longest > limit.max_duration_s:
        yield f"up to {format_duration(longest)}, at most {format_duration(limit.max_duration_s)} are allowed"
    gpus = gpus_at_most(action)
    if limit.max_gpus is not None and gpus > limit.max_gpus:
        yield f"up to {gpus} GPUs at once, at most {limit.max_gpus} are allowed"
    yield from _ages(limit, plan, now)
    if limit.least_basis is not None:
        yield from _basis(limit.least_basis, plan)


def _lists(limit: Limit, plan: PlanFile) -> Iterator[str]:
    """Yield each name that a list leaves out or shuts out, once: of every offer, those to fall back on too."""
    said: set[str] = set()
    for one in rented(plan.action):
        for kind in KINDS:
            name = _name(one, kind)
            allowed, denied = limit.allow.get(kind), limit.deny.get(kind, ())
            words = kind.replace("_", " ")
            if _matches(kind, name, denied):
                said.add(f"{words} {name} is not allowed")
            elif allowed is not None and not _matches(kind, name, allowed):
                said.add(f"{words} {name} is not among those allowed ({_listed(allowed)})")
    yield from sorted(said)


def _name(one: Rented, kind: str) -> str:
    return one.placement.gpu if kind == "gpu" else str(getattr(one.offer, kind))


def _matches(kind: str, name: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a name is one of these, or fits a pattern, without regard to case. GPUs go by any of their names.

    Only "*" is special: names hold no bracket or question mark that a pattern could mean.
    """
    if not patterns:
        return False
    if kind == "gpu":
        table = load_gpus()
        known = table.resolve(name)
        wanted = normal_name(known.id if known else name)
        return any(
            fnmatchcase(wanted, normal_name(found.id if (found := table.resolve(one)) else one)) for one in patterns
        )
    return any(fnmatchcase(name.casefold(), one.casefold()) for one in patterns)


def _ages(limit: Limit, plan: PlanFile, now: datetime) -> Iterator[str]:
    for placement, quote in zip(plan.action.placements, plan.quotes, strict=True):
        model = placement.offer.pricing_model
        most = limit.max_price_age_s.get(model)
        age = max(0, int((now - quote.observed_at).total_seconds()))
        if most is not None and age > most:
            words = model.replace("_", "-")
            yield f"a {words} price is {format_duration(age)} old, at most {format_duration(most)} are allowed"
            return


def _basis(least: LeastBasis, plan: PlanFile) -> Iterator[str]:
    for what, found, wanted in (
        ("memory", plan.memory_basis, least.memory),
        ("throughput", plan.throughput_basis, least.throughput),
    ):
        if Basis(found).rank > wanted.rank:
            yield f"the estimate of {what} is {found}, at least {wanted.value} is asked: measure it (tunefare probe)"


def _deny(rule: str, message: str) -> Finding:
    return Finding(rule=rule, level=Level.DENY, message=message)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def dollars(usd_micro: int) -> str:
    """Return micro-dollars exactly, "$1,234.50": a limit is kept or broken by the last digit."""
    whole, rest = divmod(abs(usd_micro), MICRO)
    digits = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if usd_micro < 0 else ''}${whole:,}.{digits}"
