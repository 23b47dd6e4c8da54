"""The action of a plan: what `plan` asks leave for, and the same action priced again (`--requote`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.approval.errors import QuoteStale
from optimizer.approval.plan_action import DRIFT_BPS, action_of
from optimizer.approval.plan_file import read_plan_file
from providers.errors import JobError
from providers.snapshot import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optimizer.approval.action import Action, OfferTerms, Placement
    from optimizer.approval.plan_file import PlanFile
    from optimizer.search.results import Candidate, Plan
    from optimizer.workload.job import Job
    from optimizer.workload.job_input import JobInput
    from providers.offer import Offer, PriceSnapshot


def with_action(plan: Plan, inputs: JobInput, *, old: PlanFile | None) -> Plan:
    """Return the plan with its action: of `old` word for word where it is priced again, else of its own choice.

    Raises QuoteStale (exit 6) where the plan no longer fits the old action, and says why; JobError for a policy that
    cannot be read.
    """
    if old is not None:
        _hold(plan, old)
        return replace(plan, action=old.action.document())
    action = action_of(
        plan,
        account=inputs.account,
        budgets=inputs.charge or (),
        dataset_sha256=inputs.dataset_digest,
        drift_bps=_drift_of(inputs.policy),
    )
    return plan if action is None else replace(plan, action=action.document())


def old_plan(inputs: JobInput, *, where: str) -> PlanFile | None:
    """Return the plan that is to be priced again; None where none was named. Raises as `read_plan_file` does.

    What the action holds already cannot be said again beside it.
    """
    if inputs.requote is None:
        return None
    for key in ("account", "charge", "dataset_digest"):
        if getattr(inputs, key) is not None:
            allowed = "not with --requote: the action of that plan is taken word for word"
            raise JobError(where=where, key=key, value=getattr(inputs, key), allowed=allowed)
    return read_plan_file(Path(inputs.requote))


def narrowed(job: Job, snapshot: PriceSnapshot, old: PlanFile, *, now: datetime) -> tuple[Job, PriceSnapshot]:
    """Return the job and the prices with everything left out that the old action does not name.

    The deadline is that of the action: a span counted from now would be another one. Raises QuoteStale where it has
    passed, and where an offer of the action is not in the prices any more.
    """
    deadline = old.action.deadline_at
    if deadline is not None and deadline <= now:
        raise QuoteStale(f"{old.path}: its deadline has passed: plan again")
    named = [placed.offer for placed in old.action.placements]
    nets = [one for placed in old.action.placements for one in placed.fallbacks]
    kept = [offer for offer in snapshot.offers if _is_one_of(offer, (*named, *nets))]
    for terms in named:
        if not any(_is_one_of(offer, (terms,)) for offer in kept):
            raise QuoteStale(f"{old.path}: {_place(terms)} has no price any more: plan again")
    methods = tuple(dict.fromkeys(placed.method for placed in old.action.placements))
    widths = tuple(dict.fromkeys(placed.quantization_bits for placed in old.action.placements))
    pricing = tuple(dict.fromkeys(terms.pricing_model for terms in (*named, *nets)))
    only = make_snapshot(tuple(kept), token_prices=snapshot.token_prices, billing=snapshot.billing)
    fixed = replace(job, methods=methods, quantization_bits=widths, pricing_models=pricing, deadline_at=deadline)
    return fixed, only


def _hold(plan: Plan, old: PlanFile) -> None:
    """Raise QuoteStale unless the plan does what the old action authorises, for no more than it allows."""
    action = old.action
    if not plan.choices:
        raise QuoteStale(f"{old.path}: its action keeps the limits of the job no more: plan again")
    fresh = action_of(plan, account=action.account, budgets=action.budgets, dataset_sha256=action.dataset_sha256)
    chosen = sorted(plan.choices, key=_key)
    placed = sorted(action.placements, key=lambda one: _terms_key(one.offer))
    if len(chosen) != len(placed) or any(
        _key(one) != _terms_key(two.offer) for one, two in zip(chosen, placed, strict=True)
    ):
        raise QuoteStale(f"{old.path}: the same job is placed elsewhere now: plan again")
    for one, two in zip(chosen, placed, strict=True):
        _hold_placement(one, two, old)
    if fresh is not None:
        _hold_frame(fresh, action, old)


def _hold_placement(choice: Candidate, placed: Placement, old: PlanFile) -> None:
    same = {
        "nodes": (choice.nodes, placed.nodes),
        "runs": (choice.runs, placed.runs),
        "method": (choice.recipe.method, placed.method),
        "width": (choice.recipe.bits, placed.quantization_bits),
        "GPU": (choice.gpu.id, placed.gpu),
    }
    for what, (now, then) in same.items():
        if now != then:
            raise QuoteStale(f"{old.path}: {what} would be {now}, and {then} is authorised: plan again")
    if choice.offer.unit_price_nano > placed.offer.max_unit_price_nano:
        raise QuoteStale(
            f"{old.path}: {_place(placed.offer)} costs ${choice.offer.unit_price_nano / 1e9:.4f} an hour now, and at "
            f"most ${placed.offer.max_unit_price_nano / 1e9:.4f} is authorised: plan again"
        )


def _hold_frame(fresh: Action, action: Action, old: PlanFile) -> None:
    """Raise QuoteStale where model, objective or executor are others, or the run may take longer."""
    for what in ("model", "objective", "executor"):
        now, then = getattr(fresh, what), getattr(action, what)
        if now != then:
            raise QuoteStale(f"{old.path}: {what} would be {now}, and {then} is authorised: plan again")
    for one, two in zip(fresh.placements, action.placements, strict=True):
        if one.time_limit_s > two.time_limit_s and action.executor != "policy":
            raise QuoteStale(
                f"{old.path}: a run may take {one.time_limit_s} s now, and {two.time_limit_s} s are authorised: "
                "plan again"
            )


def _drift_of(policy: str | None) -> Mapping[str, int]:
    if policy is None:
        return DRIFT_BPS
    from .policy_files import read_policy

    return {**DRIFT_BPS, **read_policy(Path(policy)).defaults.drift_bps}


def _is_one_of(offer: Offer, terms: tuple[OfferTerms, ...]) -> bool:
    return any(_terms_key(one) == _offer_key(offer) for one in terms)


def _key(choice: Candidate) -> tuple[str, ...]:
    return _offer_key(choice.offer)


def _offer_key(offer: Offer) -> tuple[str, ...]:
    return (
        offer.provider, offer.region, offer.zone or "", offer.instance_type, offer.variant or "",
        offer.pricing_model.value,
    )  # fmt: skip


def _terms_key(terms: OfferTerms) -> tuple[str, ...]:
    return (
        terms.provider, terms.region, terms.zone or "", terms.instance_type, terms.variant or "", terms.pricing_model,
    )  # fmt: skip


def _place(terms: OfferTerms) -> str:
    return f"{terms.provider} {terms.instance_type} in {terms.zone or terms.region}, {terms.pricing_model}"
