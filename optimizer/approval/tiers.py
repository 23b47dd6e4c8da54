"""Which tier an amount falls in, and what approvals that needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import Assurance, Need

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .policy_terms import Tier

NOTHING = Need(approvals=0, groups=(), assurance=Assurance.OS_USER)


def tier_of(tiers: Sequence[Tier], usd_micro: int) -> Tier | None:
    """Return the first tier whose amount is not below `usd_micro`; None above the last one, which denies."""
    return next((one for one in tiers if usd_micro <= one.up_to_usd_micro), None)


def need_of(tier: Tier) -> Need:
    """Return what a tier asks."""
    return Need(
        approvals=tier.approvals,
        groups=tier.groups,
        assurance=tier.assurance,
        distinct=tier.distinct,
        requester_may_approve=tier.requester_may_approve,
        tier_up_to_usd_micro=tier.up_to_usd_micro,
    )


def raised(tiers: Sequence[Tier], tier: Tier) -> Tier | None:
    """Return the tier that a finding of level `approve` lifts an amount into: the first, from its own on, that asks for
    approvals. None where none does."""
    return next((one for one in tiers if one.up_to_usd_micro >= tier.up_to_usd_micro and one.approvals), None)
