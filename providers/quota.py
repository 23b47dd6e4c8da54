"""How much of a kind of machine an account may run at once: what a cloud grants, not what it has free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from decimal import Decimal

    from .base import FetchContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """One limit of an account in one region. `code` is the provider's own; `value` counts `unit` ("vCPU")."""

    provider: str
    region: str
    name: str
    code: str
    value: Decimal
    unit: str

    def __post_init__(self) -> None:
        if not self.value.is_finite() or self.value < 0:
            raise ValueError(f"quota {self.provider}/{self.region}/{self.code}: {self.value} is not at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaReading:
    """The quotas of a region in the order of their codes; with none, `reason` says in words why."""

    quotas: tuple[Quota, ...] = ()
    reason: str = ""


@runtime_checkable
class ReadsQuotas(Protocol):
    """A price source that can also say what the account may run."""

    def quotas(self, region: str, context: FetchContext) -> QuotaReading:
        """Return what the account may run in `region`; an account that may not ask is a reason, no error.

        Raises ProviderUnavailable or ResponseChanged where the source does not answer or is not understood.
        """
        ...
