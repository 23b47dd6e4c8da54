"""The action: what an approval authorises, and nothing else: no notes, no candidates, no observed price of a plan.

One placement for every offer that a plan rents (a sweep may have several), each with the highest unit price and the
longest time that it may run, and the offers it may fall back on under ceilings of their own. The cap is the most that
all of it may cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.errors import ApprovalError, JobError
from providers.strict_json import Reader

from .canonical import sha256_of

if TYPE_CHECKING:
    from datetime import datetime

SCHEMA = "tunefare.action/v1"
LARGEST_MICRO = 10**15
"""A thousand million dollars."""
LARGEST_NANO = 10**15
LONGEST_S = 400_000_000
MOST_PLACEMENTS, MOST_FALLBACKS, MOST_BUDGETS = 1000, 64, 16
_HEX = r"[0-9a-f]{64}"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferTerms:
    """One offer by its key, and the most that may be paid for it: billionths of the currency per instance-hour."""

    provider: str
    region: str
    zone: str | None
    variant: str | None
    instance_type: str
    pricing_model: str
    max_unit_price_nano: int

    def document(self) -> dict[str, object]:
        """Return the offer as canonical JSON holds it."""
        return {
            "provider": self.provider,
            "region": self.region,
            "zone": self.zone,
            "variant": self.variant,
            "instance_type": self.instance_type,
            "pricing_model": self.pricing_model,
            "max_unit_price_nano": self.max_unit_price_nano,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What is rented for how many runs: `nodes` instances of the offer for each run, at most `time_limit_s` seconds."""

    offer: OfferTerms
    gpu: str
    gpus_per_node: int
    nodes: int
    runs: int
    method: str
    quantization_bits: int
    time_limit_s: int
    fixed_usd_micro: int
    """Of all its runs: disk, egress and what the job costs beside machines."""
    fallbacks: tuple[OfferTerms, ...]

    def document(self) -> dict[str, object]:
        """Return the placement as canonical JSON holds it."""
        return {
            **self.offer.document(),
            "gpu": self.gpu,
            "gpus_per_node": self.gpus_per_node,
            "nodes": self.nodes,
            "runs": self.runs,
            "method": self.method,
            "quantization_bits": self.quantization_bits,
            "time_limit_s": self.time_limit_s,
            "fixed_usd_micro": self.fixed_usd_micro,
            "fallbacks": [one.document() for one in self.fallbacks],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What may be done. Money in micro-dollars, times in seconds; `budgets` are ids, `deadline_at` aware UTC."""

    placements: tuple[Placement, ...]
    account: str | None
    model: str
    objective: str
    dataset_sha256: str | None
    executor: str
    currency: str
    cap_usd_micro: int
    budgets: tuple[str, ...]
    deadline_at: datetime | None

    @property
    def sha256(self) -> str:
        """The digest that an approval binds."""
        return sha256_of(self.document())

    def document(self) -> dict[str, object]:
        """Return the action as canonical JSON holds it."""
        return {
            "schema": SCHEMA,
            "placements": [one.document() for one in self.placements],
            "account": self.account,
            "model": self.model,
            "objective": self.objective,
            "dataset_sha256": self.dataset_sha256,
            "executor": self.executor,
            "currency": self.currency,
            "cap_usd_micro": self.cap_usd_micro,
            "budgets": list(self.budgets),
            "deadline_at": None if self.deadline_at is None else self.deadline_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def read_action(document: object, *, where: str) -> Action:
    """Return the action that a document holds. Raises ApprovalError (exit 8) naming what is wrong in it."""
    try:
        return _action(Reader(document, where=where, place="action"))
    except JobError as err:
        raise ApprovalError(str(err)) from err


def _action(fields: Reader) -> Action:
    fields.only(
        "schema", "placements", "account", "model", "objective", "dataset_sha256", "executor", "currency",
        "cap_usd_micro", "budgets", "deadline_at",
    )  # fmt: skip
    if fields.get("schema") != SCHEMA:
        fields.refuse("schema", SCHEMA)
    placements = tuple(_placement(one) for one in fields.objects("placements"))
    if not 0 < len(placements) <= MOST_PLACEMENTS:
        fields.refuse("placements", f"1 to {MOST_PLACEMENTS} placements")
    if fields.get("currency") != "USD":
        fields.refuse("currency", "USD")
    budgets = fields.texts("budgets", _NAME, f"a list of at most {MOST_BUDGETS} budget ids, each once")
    if len(budgets) > MOST_BUDGETS:
        fields.refuse("budgets", f"at most {MOST_BUDGETS} budget ids")
    hashed = fields.get("dataset_sha256")
    return Action(
        placements=placements,
        account=fields.name_or_none("account"),
        model=fields.name("model"),
        objective=fields.name("objective"),
        dataset_sha256=None if hashed is None else fields.matching("dataset_sha256", _HEX, "64 hexadecimal digits"),
        executor=fields.name("executor"),
        currency="USD",
        cap_usd_micro=fields.whole("cap_usd_micro", high=LARGEST_MICRO),
        budgets=budgets,
        deadline_at=None if fields.get("deadline_at") is None else fields.moment("deadline_at"),
    )


def _placement(fields: Reader) -> Placement:
    fields.only(
        "provider", "region", "zone", "variant", "instance_type", "pricing_model", "max_unit_price_nano", "gpu",
        "gpus_per_node", "nodes", "runs", "method", "quantization_bits", "time_limit_s", "fixed_usd_micro", "fallbacks",
    )  # fmt: skip
    fallbacks = tuple(_terms(one) for one in fields.objects("fallbacks"))
    if len(fallbacks) > MOST_FALLBACKS:
        fields.refuse("fallbacks", f"at most {MOST_FALLBACKS} offers")
    return Placement(
        offer=_terms(fields, alone=False),
        gpu=fields.name("gpu"),
        gpus_per_node=fields.whole("gpus_per_node", low=1, high=1024),
        nodes=fields.whole("nodes", low=1, high=100_000),
        runs=fields.whole("runs", low=1, high=100_000),
        method=fields.name("method"),
        quantization_bits=fields.whole("quantization_bits", low=1, high=64),
        time_limit_s=fields.whole("time_limit_s", low=1, high=LONGEST_S),
        fixed_usd_micro=fields.whole("fixed_usd_micro", high=LARGEST_MICRO),
        fallbacks=fallbacks,
    )


def _terms(fields: Reader, *, alone: bool = True) -> OfferTerms:
    if alone:
        fields.only(
            "provider", "region", "zone", "variant", "instance_type", "pricing_model", "max_unit_price_nano"
        )  # fmt: skip
    return OfferTerms(
        provider=fields.name("provider"),
        region=fields.name("region"),
        zone=fields.name_or_none("zone"),
        variant=fields.name_or_none("variant"),
        instance_type=fields.name("instance_type"),
        pricing_model=fields.matching("pricing_model", "on_demand|spot|reserved", "on_demand, spot or reserved"),
        max_unit_price_nano=fields.whole("max_unit_price_nano", high=LARGEST_NANO),
    )
