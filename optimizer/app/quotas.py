"""Quotas as the search takes them."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from optimizer.search.portfolio.request import quota_name
from optimizer.search.solve import Quota
from optimizer.workload.job_limits import gpu_advice
from optimizer.workload.quota_input import parse_quotas
from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optimizer.workload.quota_input import QuotaInput
    from providers.gpus import GpuTable
    from providers.offer import Offer

    from .preparing import Prepared


def job_quotas(
    tables: Sequence[Mapping[str, object]] | None, *, offers: Sequence[Offer], gpus: GpuTable, where: str
) -> tuple[Quota, ...]:
    """Return the quotas that a job file states ([[quota]]), names as `offers` write them.

    Raises JobError naming the quota and its key.
    """
    said = parse_quotas(list(tables or ()), key="quota", where=where)
    return with_known_names([search_quota(one, gpus=gpus, where=where) for one in said], offers, where=where)


def quotas_of(ready: Prepared) -> tuple[tuple[Quota, ...], list[str]]:
    """Return the quotas of a prepared job, and a note on those that limit nothing. Raises as `job_quotas` does."""
    offers = ready.snapshot.offers
    quotas = job_quotas(ready.inputs.quota, offers=offers, gpus=ready.tables.gpus, where=ready.where)
    return quotas, idle_note(idle_quotas(quotas, offers))


def search_quota(said: QuotaInput, *, gpus: GpuTable, where: str) -> Quota:
    """Return a quota with the GPU by its id. Raises JobError for a GPU that the table does not know."""
    gpu = None
    if said.gpu is not None:
        found = gpus.resolve(said.gpu)
        if found is None:
            raise JobError(where=where, key="quota: gpu", value=said.gpu, allowed=gpu_advice(said.gpu, gpus))
        gpu = found.id
    return Quota(gpus=said.gpus, provider=said.provider, region=said.region, gpu=gpu, pricing_model=said.pricing_model)


def with_known_names(quotas: Sequence[Quota], offers: Sequence[Offer], *, where: str) -> tuple[Quota, ...]:
    """Return the quotas with providers and regions as the price list writes them (`AWS` is `aws`).

    Raises JobError for a provider that no price is known for and that looks like a typing error; what looks like
    nothing known is left, and `idle_note` says that it limits nothing.
    """
    if not quotas:
        return ()
    providers = {offer.provider for offer in offers}
    regions = {offer.region for offer in offers}
    return tuple(
        replace(
            quota,
            provider=_spelled(quota.provider, providers, key="quota: provider", where=where),
            region=_spelled(quota.region, regions, key="quota: region", where=where),
        )
        for quota in quotas
    )


def idle_quotas(quotas: Sequence[Quota], offers: Sequence[Offer]) -> list[Quota]:
    """Return the quotas that no offer counts against."""
    return [quota for quota in quotas if not any(quota.covers(offer) for offer in offers)]


def idle_note(idle: Sequence[Quota]) -> list[str]:
    """Return which quotas cover no offer at all, written for another price list or mistyped; nothing without any."""
    names = list(dict.fromkeys(quota_name(quota) for quota in idle))
    if not names:
        return []
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return [f"No offer of the price list counts against: {shown}. Check the names if that is a surprise."]


def _spelled(name: str | None, known: set[str], *, key: str, where: str) -> str | None:
    if name is None or name in known:
        return name
    folded = {one.casefold(): one for one in sorted(known)}
    if name.casefold() in folded:
        return folded[name.casefold()]
    # Regions differ in a letter (us-east-1, us-east-2): only a provider is taken for a typing error.
    close = get_close_matches(name.casefold(), folded, n=1, cutoff=0.7) if key.endswith("provider") else []
    if close:
        allowed = f"no prices are known for it; did you mean {folded[close[0]]}?"
        raise JobError(where=where, key=key, value=name, allowed=allowed)
    return name
