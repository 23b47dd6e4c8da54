"""Reads a plan that `plan --output` wrote: the spot policy in it, and the offers that the policy turns to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.report.spot_answers import NamedOffer
from optimizer.search.spot.policy_document import read_policy
from providers.errors import JobError
from providers.strict_json import Reader, decode_strictly

from .opening import read_at_most

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.search.spot.policy_table import PolicyTable
    from optimizer.search.spot.problem import SpotProblem

SCHEMA = "tunefare.plan/v1"
LARGEST_BYTES = 32 * 2**20
MOST_NODES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPolicy:
    """The spot policy of a plan, and what a launcher needs beside it."""

    path: str
    made_at: datetime
    problem: SpotProblem
    table: PolicyTable
    nodes: int
    spot: tuple[NamedOffer, ...]
    """Where to start spot machines, in this order; the plan's own offer first."""
    on_demand: NamedOffer | None
    """What the safety net starts; None where the plan names none."""


def read_planned_policy(path: Path | str) -> PlannedPolicy:
    """Return the policy of a plan file. Raises JobError for a file that is no plan, or holds no spot policy."""
    shown = str(path)
    document = decode_strictly(_bytes(Path(path), shown), where=shown)
    plan = Reader(document, where=shown)
    if plan.get("schema") != SCHEMA:
        plan.refuse("schema", f"{SCHEMA}: a plan, as `tunefare plan --output FILE` writes it")
    if plan.get("choice") is None:
        plan.refuse("choice", "a plan that chose something: nothing fits in this one")
    choice = plan.inner("choice")
    spot = choice.get("spot")
    if not isinstance(spot, dict) or spot.get("policy") is None:
        raise JobError(
            where=shown,
            key="choice.spot.policy",
            value=None,
            allowed="a plan that rents spot under a policy: plan with --executor policy, a --deadline, and spot prices",
        )
    problem, table = read_policy(spot["policy"], where=shown)
    own = _offer(choice)
    reader = choice.inner("spot")
    failover = tuple(_offer(one) for one in reader.objects("failover")) if reader.get("failover") is not None else ()
    fallback = reader.inner("fallback") if reader.get("fallback") is not None else None
    return PlannedPolicy(
        path=shown,
        made_at=plan.moment("made_at"),
        problem=problem,
        table=table,
        nodes=choice.whole("nodes", low=1, high=MOST_NODES),
        spot=failover or (own,),
        on_demand=None if fallback is None else _offer(fallback),
    )


def _bytes(path: Path, shown: str) -> bytes:
    try:
        data = read_at_most(path, LARGEST_BYTES + 1)
    except OSError as err:
        reason = err.strerror or type(err).__name__
        raise JobError(where="plan", key="path", value=shown, allowed=f"a readable file ({reason})") from err
    if len(data) > LARGEST_BYTES:
        raise JobError(where=shown, key="file", value=shown, allowed=f"at most {LARGEST_BYTES // 2**20} MiB")
    return data


def _offer(fields: Reader) -> NamedOffer:
    return NamedOffer(
        provider=fields.name("provider"),
        region=fields.name("region"),
        zone=fields.name_or_none("zone"),
        instance_type=fields.name("instance_type"),
        pricing_model=fields.name("pricing_model"),
        ceiling_nano=None if fields.get("ceiling_nano") is None else fields.whole("ceiling_nano"),
    )
