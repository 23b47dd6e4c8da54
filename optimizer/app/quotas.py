"""Quotas as the search takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.solve import Quota
from optimizer.workload.job_limits import gpu_advice
from optimizer.workload.quota_input import parse_quotas
from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optimizer.workload.quota_input import QuotaInput
    from providers.gpus import GpuTable


def job_quotas(tables: Sequence[Mapping[str, object]] | None, *, gpus: GpuTable, where: str) -> tuple[Quota, ...]:
    """Return the quotas that a job file states ([[quota]]). Raises JobError naming the quota and its key."""
    said = parse_quotas(list(tables or ()), key="quota", where=where)
    return tuple(search_quota(one, gpus=gpus, where=where) for one in said)


def search_quota(said: QuotaInput, *, gpus: GpuTable, where: str) -> Quota:
    """Return a quota with the GPU by its id. Raises JobError for a GPU that the table does not know."""
    gpu = None
    if said.gpu is not None:
        found = gpus.resolve(said.gpu)
        if found is None:
            raise JobError(where=where, key="quota: gpu", value=said.gpu, allowed=gpu_advice(said.gpu, gpus))
        gpu = found.id
    return Quota(gpus=said.gpus, provider=said.provider, region=said.region, gpu=gpu, pricing_model=said.pricing_model)
