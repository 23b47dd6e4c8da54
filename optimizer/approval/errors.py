"""How the gate says no: one class for each exit code that a launcher acts on."""

from __future__ import annotations

from typing import ClassVar

from providers.errors import TunefareError


class PolicyDenied(TunefareError):
    """The policy denies, or somebody rejected."""

    exit_code: ClassVar[int] = 3


class ApprovalNeeded(TunefareError):
    """Approvals are missing, or what was approved has expired."""

    exit_code: ClassVar[int] = 4


class BudgetInsufficient(TunefareError):
    """A budget does not hold what is asked for. Nothing was reserved in any budget."""

    exit_code: ClassVar[int] = 5

    def __init__(self, message: str, *, budget_id: str = "", period_key: str = "", missing_usd_micro: int = 0) -> None:
        """`missing_usd_micro` is how much the budget lacks in that period."""
        super().__init__(message)
        self.budget_id = budget_id
        self.period_key = period_key
        self.missing_usd_micro = missing_usd_micro


class QuoteStale(TunefareError):
    """The price moved, or is too old to launch at."""

    exit_code: ClassVar[int] = 6


class LedgerUnusable(TunefareError):
    """The ledger is out of reach, cannot be written, or is damaged."""

    exit_code: ClassVar[int] = 10


class LedgerMissing(LedgerUnusable):
    """There is no ledger, nothing was ever recorded in it, or it is another than the policy pins."""
