"""What a policy allows and probably does not mean: hints of `policy lint`, beside its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .allowed_signers import read_allowed_signers
from .decision_limits import dollars
from .policy_cases import ordinary_facts
from .records import Assurance
from .rules import Counter
from .rules_check import RuleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .policy_terms import Policy, Tier


def notes_of(policy: Policy) -> tuple[str, ...]:
    """Return hints, each one sentence, in the order of the file."""
    return (
        *_ledger(policy),
        *_keyless(policy),
        *_tiers(policy),
        *_budgets(policy),
        *_rules(policy),
        *_groups(policy),
    )


def _ledger(policy: Policy) -> Iterator[str]:
    if policy.ledger_id is None:
        yield "defaults.ledger_id is not set: any ledger that exists will do, also another team's"
    asked = [one for one in policy.tiers if one.approvals and one.assurance is Assurance.SSH_SIGNATURE]
    if asked and policy.allowed_signers is None:
        yield "tiers ask for ssh-signature, and allowed_signers names no file of keys: nobody can give one"


def _keyless(policy: Policy) -> Iterator[str]:
    """Yield the members of groups whose signature is asked for and who have no key to sign with."""
    data = policy.allowed_signers_data
    if data is None:
        return
    keys = read_allowed_signers(data, where=policy.allowed_signers or "").keys
    asked = {name for one in policy.tiers if one.assurance is Assurance.SSH_SIGNATURE for name in one.groups}
    for group in sorted(asked):
        for member in policy.groups[group]:
            if not any(key.permits(member) for key in keys):
                yield f"group {group}: {member} has no key in {policy.allowed_signers}"


def _tiers(policy: Policy) -> Iterator[str]:
    before: Tier | None = None
    for at, tier in enumerate(policy.tiers, 1):
        if before is not None and tier.approvals < before.approvals:
            yield f"tier {at} asks for fewer approvals than the tier before it"
        if tier.approvals and tier.assurance is Assurance.OS_USER:
            yield f"tier {at}: os-user is advisory: anybody can take that name on a machine of their own"
        if tier.approvals and tier.requester_may_approve and tier.approvals == 1:
            yield f"tier {at}: requester_may_approve with one approval: everybody in the groups approves for themselves"
        if tier.approvals > 1 and not tier.distinct:
            yield f"tier {at}: distinct = false: one person may give all {tier.approvals} approvals"
        before = tier


def _budgets(policy: Policy) -> Iterator[str]:
    if not policy.budgets:
        yield "there is no [[budget]]: tiers alone limit what is spent"
    limits = {one.id: one for one in policy.budgets}
    for one in policy.budgets:
        parent = limits.get(one.parent or "")
        if parent is not None and one.period is parent.period and one.limit_usd_micro > parent.limit_usd_micro:
            yield (
                f"budget {one.id}: its limit of {dollars(one.limit_usd_micro)} is more than the "
                f"{dollars(parent.limit_usd_micro)} of {parent.id}, which end first"
            )


def _rules(policy: Policy) -> Iterator[str]:
    for rule in policy.rules:
        try:
            rule.compiled.holds(ordinary_facts(), [{}], steps=Counter())
        except RuleError as err:
            yield f"rule {rule.name}: {err} for an ordinary run: it would deny everything like it"


def _groups(policy: Policy) -> Iterator[str]:
    used = {name for tier in policy.tiers for name in tier.groups}
    for name in policy.groups:
        if name not in used:
            yield f"group {name} approves nothing: no tier names it"
    members = {one for name in used for one in policy.groups[name]}
    for identity in policy.ci:
        if identity.name not in members:
            yield f"ci {identity.name} approves nothing: no group of a tier has it as a member"
