"""The use case `explain --why-not`: why an instance, a region or a method lost, in a sentence with numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cache.store import PriceStore
    from optimizer.search.explain import Explanation
    from optimizer.workload.job import Job
    from optimizer.workload.job_input import JobInput

    from .settings import Settings
    from .tables import Knowledge


def explain_job(
    inputs: JobInput | Job | Path | str | None = None,
    *,
    why_not: str,
    flags: JobInput | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
) -> Explanation:
    """Return why `why_not` ("H100 in us-east-1", "qlora", "spot") is not the choice. Errors as in `plan_job`."""
    raise NotImplementedError
