"""What `tunefare policy` answers: a policy read, or a policy tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimizer.approval.policy_cases import CaseResult
    from optimizer.approval.policy_terms import Policy
    from providers.errors import JobError


@dataclass(frozen=True, slots=True, kw_only=True)
class LintAnswer:
    """A policy file: the policy that it is, or the problems because of which it is none; and hints."""

    where: str
    policy: Policy | None
    problems: tuple[JobError, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CasesAnswer:
    """A policy, and what it decided of a team's cases."""

    policy: Policy
    results: tuple[CaseResult, ...]

    @property
    def failed(self) -> int:
        """How many cases did not come out as expected."""
        return sum(not one.passed for one in self.results)
