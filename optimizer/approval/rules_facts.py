"""What rules and limits may ask of an action: its document, offer by offer, the plan's figures, and who asks.

An action may rent several offers, and fall back on others. A rule is asked about each of them and holds for the action
where it holds for any: an order of offers that shows a harmless one first hides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from .action import Action, OfferTerms, Placement
    from .plan_file import PlanFile
    from .records import Principal

OFFER_FIELDS = (
    "provider", "region", "zone", "variant", "instance_type", "pricing_model", "max_unit_price_nano",
)  # fmt: skip
PLACEMENT_FIELDS = (
    "gpu", "gpus_per_node", "nodes", "runs", "method", "quantization_bits", "time_limit_s", "fixed_usd_micro",
    "fallbacks",
)  # fmt: skip
WHOLE_FIELDS = (
    "placements", "account", "model", "objective", "dataset_sha256", "executor", "currency", "cap_usd_micro",
    "budgets", "deadline_at", "gpus", "usd_micro_per_hour",
)  # fmt: skip
PLAN_FIELDS = (
    "cost_expected_usd_micro", "cost_high_usd_micro", "duration_high_s", "memory_basis", "throughput_basis", "made_at",
    "age_s", "price_age_s", "list_price",
)  # fmt: skip
REQUEST_FIELDS = ("requester", "assurance", "committed_usd_micro", "judged_usd_micro")
ROOTS: Mapping[str, frozenset[str]] = {
    "action": frozenset({*OFFER_FIELDS, *PLACEMENT_FIELDS, *WHOLE_FIELDS}),
    "plan": frozenset(PLAN_FIELDS),
    "request": frozenset(REQUEST_FIELDS),
}
NANO_PER_MICRO = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rented:
    """One offer that an action authorises: the one planned, or one it may fall back on in its place."""

    placement: Placement
    offer: OfferTerms


def rented(action: Action) -> tuple[Rented, ...]:
    """Return every offer that the action authorises, each once, in the order of the action."""
    found: dict[tuple[object, ...], Rented] = {}
    for placement in action.placements:
        for offer in (placement.offer, *placement.fallbacks):
            found.setdefault((id(placement), offer), Rented(placement=placement, offer=offer))
    return tuple(found.values())


def gpus_at_most(action: Action) -> int:
    """Return how many GPUs the action may hold at once: every run of every placement side by side."""
    return sum(one.gpus_per_node * one.nodes * one.runs for one in action.placements)


def usd_micro_per_hour_at_most(action: Action) -> int:
    """Return the micro-dollars that an hour may cost, rounded up: all runs side by side, on the dearest offer allowed.

    What is paid beside machines (disk, egress) is not in it: that is not paid by the hour.
    """
    nano = sum(
        one.nodes * one.runs * max(offer.max_unit_price_nano for offer in (one.offer, *one.fallbacks))
        for one in action.placements
    )
    return -(-nano // NANO_PER_MICRO)


def price_age_s(plan: PlanFile, now: datetime) -> int:
    """Return how old the oldest price of the plan is, in seconds; 0 for one from the future."""
    return max(0, int((now - plan.oldest_observed_at).total_seconds()))


def plan_age_s(plan: PlanFile, now: datetime) -> int:
    """Return how long ago the plan was made, in seconds; 0 for one from the future."""
    return max(0, int((now - plan.made_at).total_seconds()))


def plan_facts(plan: PlanFile, now: datetime) -> dict[str, object]:
    """Return `plan` as rules see it."""
    return {
        "cost_expected_usd_micro": plan.cost_expected_usd_micro,
        "cost_high_usd_micro": plan.cost_high_usd_micro,
        "duration_high_s": plan.duration_high_s,
        "memory_basis": plan.memory_basis,
        "throughput_basis": plan.throughput_basis,
        "made_at": plan.made_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "age_s": plan_age_s(plan, now),
        "price_age_s": price_age_s(plan, now),
        "list_price": any(quote.price_class == "list" for quote in plan.quotes),
    }


def request_facts(requester: Principal | None, committed_usd_micro: int, judged_usd_micro: int) -> dict[str, object]:
    """Return `request` as rules see it; an unknown requester is the empty text."""
    return {
        "requester": "" if requester is None else requester.name,
        "assurance": "" if requester is None else requester.assurance.value,
        "committed_usd_micro": committed_usd_micro,
        "judged_usd_micro": judged_usd_micro,
    }


def whole_facts(action: Action, fields: frozenset[str]) -> dict[str, object]:
    """Return what a rule reads of `action` that is the same for every offer."""
    document = {
        **action.document(),
        "gpus": gpus_at_most(action),
        "usd_micro_per_hour": usd_micro_per_hour_at_most(action),
    }
    return {name: document[name] for name in WHOLE_FIELDS if name in fields}


def offer_facts(action: Action, fields: frozenset[str]) -> Iterator[dict[str, object]]:
    """Yield what a rule reads of `action` for each offer: only those that differ in it, and one at least."""
    seen: set[str] = set()
    wanted = sorted(fields.difference(WHOLE_FIELDS))
    for one in rented(action):
        document = {**one.placement.document(), **one.offer.document()}
        values = {name: document[name] for name in wanted}
        key = repr(values)
        if key not in seen:
            seen.add(key)
            yield values
