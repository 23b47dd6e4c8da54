"""Whether the parts of a policy go together: every problem is found and named, none is passed over."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from providers.gpus import load_gpus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .policy_model import LimitInput, PolicyInput, TierInput

OWN_FINDINGS = frozenset(
    {"policy", "time", "plan_max_age", "allow_list_price", "least_basis", "budget", "soft_limit", "tier"}
)
"""Names of findings that no rule or limit may take."""
Problem = tuple[str, object, str]
"""Key, value, what is allowed."""


def problems_of(said: PolicyInput) -> Iterator[Problem]:
    """Yield what does not go together in a policy whose values are each well formed."""
    yield from _tiers(said)
    yield from _groups(said)
    yield from _budgets(said)
    yield from _names(said)
    for at, limit in enumerate(said.limit, 1):
        yield from _limit(limit, at)
    asks = any(one.approvals for one in said.tier)
    levels = [
        *((f"limit {at}: level", one.level) for at, one in enumerate(said.limit, 1)),
        *((f"rule {at}: level", one.level) for at, one in enumerate(said.rule, 1)),
    ]
    for key, level in levels:
        if level == "approve" and not asks:
            yield key, level, "a tier that asks for approvals, which says who gives them"


def _tiers(said: PolicyInput) -> Iterator[Problem]:
    if not said.tier:
        yield "tier", None, "at least one table [[tier]]: above the last one everything is denied"
    for at, (before, tier) in enumerate(zip(said.tier, said.tier[1:], strict=False), 2):
        if tier.up_to <= before.up_to:
            yield f"tier {at}: up_to", _usd(tier.up_to), f"more than the tier before ({_usd(before.up_to)})"
    for at, tier in enumerate(said.tier, 1):
        yield from _tier(said, tier, at)


def _tier(said: PolicyInput, tier: TierInput, at: int) -> Iterator[Problem]:
    key = f"tier {at}: from"
    if tier.approvals and not tier.groups:
        yield key, None, "the groups that approve"
    if not tier.approvals and tier.groups:
        yield key, tier.groups, "no groups where no approvals are asked"
    yield from _repeated(tier.groups, key)
    for name in tier.groups:
        if name not in said.groups:
            yield key, name, _one_of(said.groups, "a group of the table [groups]")
    people = {one for name in tier.groups for one in said.groups.get(name, [])}
    needed = tier.approvals if tier.distinct else min(1, tier.approvals)
    if people and len(people) < needed:
        allowed = f"at most {len(people)}: there are no more members in {', '.join(tier.groups)}"
        yield f"tier {at}: approvals", tier.approvals, allowed


def _groups(said: PolicyInput) -> Iterator[Problem]:
    for name, members in said.groups.items():
        if not members:
            yield f"groups.{name}", [], "at least one member"
        yield from _repeated([one.casefold() for one in members], f"groups.{name}")
    yield from _repeated([one.name for one in said.ci], "ci: name")


def _budgets(said: PolicyInput) -> Iterator[Problem]:
    yield from _repeated([one.id for one in said.budget], "budget: id")
    parents = {one.id: one.parent for one in said.budget}
    for at, budget in enumerate(said.budget, 1):
        key = f"budget {at}: parent"
        if budget.parent is not None and budget.parent not in parents:
            yield key, budget.parent, _one_of(parents, "the id of a budget")
        if _in_ring(budget.id, parents):
            yield key, budget.parent, f"no ring: {budget.id} would be a parent of its own"


def _in_ring(start: str, parents: dict[str, str | None]) -> bool:
    at, seen = parents.get(start), {start}
    while at is not None and at not in seen:
        seen.add(at)
        at = parents.get(at)
    return at == start


def _names(said: PolicyInput) -> Iterator[Problem]:
    names = [*(one.name for one in said.limit), *(one.name for one in said.rule)]
    yield from _repeated(names, "name")
    for name in names:
        if name in OWN_FINDINGS:
            yield "name", name, f"another name: {', '.join(sorted(OWN_FINDINGS))} are taken"


def _limit(limit: LimitInput, at: int) -> Iterator[Problem]:
    said = limit.model_dump(exclude_none=True, exclude={"name", "level", "message"})
    if not any(value for key, value in said.items() if isinstance(value, dict)) and not any(
        not isinstance(value, dict) for value in said.values()
    ):
        yield f"limit {at}", limit.name, "at least one limit: this one limits nothing"
    for kind in ("allow", "deny"):
        for key, names in getattr(limit, kind).model_dump(exclude_none=True).items():
            where = f"limit {at}: {kind}.{key}"
            if not names:
                yield where, [], "at least one name; leave the key out to limit nothing"
            yield from _repeated(names, where)
            if key == "gpu":
                yield from _gpus(names, where)


def _gpus(names: Iterable[str], key: str) -> Iterator[Problem]:
    """Yield the GPUs that nothing is known by: a typing error in a list would let something through, or stop it."""
    table = load_gpus()
    for name in names:
        if "*" not in name and table.resolve(name) is None:
            close = ", ".join(table.close_names(name))
            yield key, name, f"a GPU like {close}" if close else "a GPU such as H100-SXM-80GB, or a pattern with '*'"


def _repeated(names: Iterable[str], key: str) -> Iterator[Problem]:
    for name, count in Counter(names).items():
        if count > 1:
            yield key, name, "each name once"


def _one_of(known: Iterable[str], otherwise: str) -> str:
    names = sorted(known)
    return f"one of {', '.join(names[:12])}" if names else otherwise


def _usd(micro: int) -> str:
    return f"{micro / 1_000_000:.2f}"
