"""Quotas, budgets and start slots of a portfolio as a person writes them, checked for kind and range."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import TYPE_CHECKING

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GPUS_MAX = 1_000_000
USD_MAX = 10**9
SLOTS_MAX = 100
QUOTAS_MAX = 2_000
PRICING_MODELS = ("on_demand", "spot", "reserved")
NAMES = ("provider", "region", "gpu", "pricing_model")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaInput:
    """At most `gpus` GPUs at once where every name that is given agrees with an offer; None agrees with everything."""

    gpus: int
    provider: str | None = None
    region: str | None = None
    gpu: str | None = None
    pricing_model: str | None = None

    @property
    def names(self) -> tuple[str | None, ...]:
        """What the quota is on, upper and lower case alike: two quotas on the same are one quota given twice."""
        values = (self.provider, self.region, self.gpu, self.pricing_model)
        return tuple(None if value is None else value.casefold() for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotInput:
    """A moment at which jobs may start, and the quotas that hold instead of the common ones until the next slot.

    `start` is "now", a span counted from now, or a moment.
    """

    name: str
    start: str | datetime
    quotas: tuple[QuotaInput, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetInput:
    """Dollars that the high ends of the costs may sum to: of all jobs (None: no limit), and of each team."""

    total: Decimal | None
    teams: Mapping[str, Decimal]


def parse_quotas(tables: object, *, key: str, where: str) -> tuple[QuotaInput, ...]:
    """Return the quotas that an array of tables holds. Raises JobError naming the quota and its key."""
    listed = table_list(tables, key, where)
    found = [_quota(table, key=f"{key} {at}", where=where) for at, table in enumerate(listed, 1)]
    if len(found) > QUOTAS_MAX:
        raise JobError(where=where, key=key, value=len(found), allowed=f"at most {QUOTAS_MAX} quotas")
    seen: set[tuple[str | None, ...]] = set()
    for at, quota in enumerate(found, 1):
        if quota.names in seen:
            shown = " ".join(name for name in quota.names if name)
            raise JobError(where=where, key=f"{key} {at}", value=shown, allowed="once: this quota appears twice")
        seen.add(quota.names)
    return tuple(found)


def _quota(table: Mapping[str, object], *, key: str, where: str) -> QuotaInput:
    refuse_unknown(table, (*NAMES, "gpus"), key=key, where=where)
    names: dict[str, str] = {}
    for name in NAMES:
        if name in table:
            names[name] = text_of(table[name], key=f"{key}: {name}", where=where)
    if "pricing_model" in names:
        model = names["pricing_model"].lower().replace("-", "_")
        if model not in PRICING_MODELS:
            allowed = f"one of {', '.join(PRICING_MODELS)}"
            raise JobError(where=where, key=f"{key}: pricing_model", value=names["pricing_model"], allowed=allowed)
        names["pricing_model"] = model
    if not names:
        allowed = "at least one of provider, region, gpu, pricing_model beside gpus"
        raise JobError(where=where, key=key, value=None, allowed=allowed)
    gpus = table.get("gpus")
    if isinstance(gpus, bool) or not isinstance(gpus, int) or not 0 <= gpus <= GPUS_MAX:
        allowed = f"required: a whole number of GPUs from 0 to {GPUS_MAX}"
        raise JobError(where=where, key=f"{key}: gpus", value=gpus, allowed=allowed)
    return QuotaInput(gpus=gpus, **names)


def parse_slots(tables: object, *, where: str) -> tuple[SlotInput, ...]:
    """Return the start slots, in the order of the file. Raises JobError naming the slot and its key."""
    found = []
    for at, table in enumerate(table_list(tables, "slot", where), 1):
        key = f"slot {at}"
        refuse_unknown(table, ("name", "start", "quota"), key=key, where=where)
        start = table.get("start")
        if not isinstance(start, str | datetime):
            allowed = 'required: "now", a span from now such as 6h, or a moment such as 2026-12-01T08:00Z'
            raise JobError(where=where, key=f"{key}: start", value=start, allowed=allowed)
        found.append(
            SlotInput(
                name=text_of(table.get("name"), key=f"{key}: name", where=where),
                start=start,
                quotas=parse_quotas(table.get("quota", []), key=f"{key}: quota", where=where),
            )
        )
    if len(found) > SLOTS_MAX:
        raise JobError(where=where, key="slot", value=len(found), allowed=f"at most {SLOTS_MAX} slots")
    refuse_twice([slot.name for slot in found], key="slot", where=where)
    return tuple(found)


def parse_budget(table: object, *, where: str) -> BudgetInput:
    """Return the budgets in dollars. Raises JobError naming the budget."""
    if not isinstance(table, dict):
        raise JobError(where=where, key="budget", value=table, allowed='a table: [budget] total = "5000"')
    amounts = {name: _dollars(value, key=f"budget.{name}", where=where) for name, value in table.items()}
    return BudgetInput(total=amounts.pop("total", None), teams=amounts)


def _dollars(value: object, *, key: str, where: str) -> Decimal:
    allowed = f"dollars from 0 to {USD_MAX}"
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise JobError(where=where, key=key, value=value, allowed=allowed)
    try:
        amount = Decimal(str(value).strip().removeprefix("$").replace("_", ""))
    except InvalidOperation as err:
        raise JobError(where=where, key=key, value=value, allowed=allowed) from err
    if not amount.is_finite() or not 0 <= amount <= USD_MAX:
        raise JobError(where=where, key=key, value=value, allowed=allowed)
    return amount


def table_list(value: object, key: str, where: str) -> list[Mapping[str, object]]:
    """Return an array of tables. Raises JobError for anything else."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        name = key.rpartition(" ")[2]
        raise JobError(where=where, key=key, value=type(value).__name__, allowed=f"tables: [[{name}]]")
    return value


def text_of(value: object, *, key: str, where: str) -> str:
    """Return a name without blanks around it. Raises JobError for an empty one and for anything that is no text."""
    if not isinstance(value, str) or not value.strip() or len(value) > 200:
        raise JobError(where=where, key=key, value=value, allowed="a name of 1 to 200 characters in quotes")
    return value.strip()


def refuse_unknown(table: Mapping[str, object], known: Iterable[str], *, key: str, where: str) -> None:
    """Raise JobError for a key that means nothing here, naming the one that was probably meant."""
    names = list(known)
    for name, value in table.items():
        if name not in names:
            close = get_close_matches(name, names, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
            shown = value if isinstance(value, str | int | float | bool) else type(value).__name__
            place = f"{key}: {name}" if key else name
            raise JobError(where=where, key=place, value=shown, allowed=f"unknown key; {hint}")


def refuse_twice(names: Iterable[str], *, key: str, where: str) -> None:
    """Raise JobError for the first name that appears a second time."""
    seen: dict[str, int] = {}
    for at, name in enumerate(names, 1):
        if name in seen:
            allowed = f"a name of its own: {key} {seen[name]} has the same"
            raise JobError(where=where, key=f"{key} {at}: name", value=name, allowed=allowed)
        seen[name] = at
