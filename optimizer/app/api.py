"""The public Python interface: `from optimizer import plan, estimate, estimate_cost, Job`."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from optimizer.workload.calculator import estimate_cost
from optimizer.workload.job import Job as CompleteJob
from optimizer.workload.job_input import JobInput as Job
from providers.errors import JobError

from .estimating import estimate_recipe
from .flags import RECIPE_KEYS
from .history_result import PriceHistoryResult
from .planning import plan_job
from .public_results import EstimateResult, PlanResult
from .recipe_choice import RecipeChoice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cache.sql_store import SqlStore
    from cache.store import PriceStore

    from .flags import EstimateFlags, PlanFlags
    from .portfolio_result import PortfolioResult
    from .price_history import HistoryFilters
    from .study_result import StudyResult

__all__ = [
    "EstimateResult", "Job", "PlanResult", "PriceHistoryResult", "estimate", "estimate_cost", "plan", "portfolio",
    "price_history",
    "study",
]  # fmt: skip


def plan(
    job: Job | CompleteJob | Path | str | None = None,
    /,
    *,
    store: PriceStore | None = None,
    **flags: Unpack[PlanFlags],
) -> PlanResult:
    """Return the cheapest way to train `job` within its limits, or why nothing fits and what would.

    `job` is the path of a job file or a `Job`; keyword arguments carry the names of the job flags and win over it:

        plan(model="llama-3.1-8b", samples=13_300, tokens_per_sample=400, epochs=4, deadline="24h")
        plan("job.toml", budget=50)

    Prices come from the bundled, dated list and `offers`, or from `store`; environment and configuration files count
    as they do for the command. Raises providers.errors.JobError, KnowledgeMissing and PricesUnavailable.
    """
    given = _job_flags(flags, where="plan()")
    return PlanResult(plan_job(_source(job), flags=given, store=store, where="plan()"))


def estimate(
    job: Job | CompleteJob | Path | str | None = None,
    /,
    *,
    store: PriceStore | None = None,
    **flags: Unpack[EstimateFlags],
) -> EstimateResult:
    """Return memory, speed, duration and cost of one recipe on one kind of machine, without a search.

    Keyword arguments carry the names of the job flags and of the recipe flags of `tunefare estimate`:

        estimate(model="llama-3.1-8b", tokens=21_000_000, seq_len=512, gpu="A100-SXM-80GB", method="qlora")

    Raises providers.errors.JobError for a mix that makes no sense, and as `plan` does.
    """
    recipe = {key: flags[key] for key in RECIPE_KEYS if key in flags}  # type: ignore[literal-required]
    rest = {key: value for key, value in flags.items() if key not in recipe}
    given = _job_flags(rest, where="estimate()")
    answer = estimate_recipe(_source(job), recipe=RecipeChoice(**recipe), flags=given, store=store, where="estimate()")
    return EstimateResult(answer)


def study(
    job: Job | CompleteJob | Path | str | None = None,
    /,
    *,
    scenarios: int = 10_000,
    engine: str = "serial",
    workers: int | None = None,
    store: PriceStore | None = None,
    **flags: Unpack[PlanFlags],
) -> StudyResult:
    """Return how the plan of `job` fares over `scenarios` scenarios of prices and speeds: cost, deadline, regret.

    `engine` is "serial", "threads", "processes" or "ray" (extra `ray`), `workers` how many of them; the answer is the
    same for all. The job, and `seed`, as for `plan`:

        study("job.toml", scenarios=100_000, engine="processes").base.cost_usd_micro.p90

    A script that asks for processes keeps its work under `if __name__ == "__main__":`. Raises as `plan` does.
    """
    from .study import study_job  # a plan needs no study
    from .study_result import StudyResult

    answer = study_job(
        _source(job),
        flags=_job_flags(flags, where="study()"),
        scenarios=scenarios,
        engine=engine,
        workers=workers,
        store=store,
        where="study()",
    )
    return StudyResult(answer)


def portfolio(
    jobs: Path | str,
    /,
    *,
    now: datetime | str | None = None,
    time_limit_s: float = 20.0,
    store: PriceStore | None = None,
) -> PortfolioResult:
    """Return who runs where of the jobs in a file (docs/portfolio.md), under its shared quotas and budgets.

        portfolio("jobs.toml").to_csv()

    `time_limit_s` is for the solver alone. Prices, environment and configuration files count as for `plan`. Raises as
    `plan` does, for every job; one that cannot be placed is an answer.
    """
    from .portfolio import plan_jobs  # a plan needs no portfolio
    from .portfolio_result import PortfolioResult

    if not isinstance(jobs, Path | str):
        raise JobError(where="portfolio()", key="jobs", value=jobs, allowed="the path of a file with [[job]] tables")
    answer = plan_jobs(jobs, now=now, time_limit_s=time_limit_s, store=store, where="portfolio()")
    return PortfolioResult(answer)


def price_history(
    key: str | None = None,
    /,
    *,
    since: str | None = None,
    limit: int = 0,
    now: datetime | str | None = None,
    store: SqlStore | None = None,
    **filters: Unpack[HistoryFilters],
) -> PriceHistoryResult:
    """Return how the prices of offers changed, as far as `tunefare prices refresh` has seen them.

    `key` is the key of an offer as `tunefare prices list --keys` prints it, or the beginning of one. The filters are
    those of `tunefare prices history`, each one name or several:

        price_history(gpu="H100-SXM-80GB", provider=["aws", "gcp"], pricing_model="spot", since="90d").to_pandas()

    Prices come from the database in force, or from `store`. Raises providers.errors.JobError and PricesUnavailable.
    """
    from .price_history import HistoryFilter, HistoryFilters, read_price_history  # a plan needs no history

    for name, value in filters.items():
        if name not in HistoryFilters.__annotations__:
            known = ", ".join(sorted(HistoryFilters.__annotations__))
            raise JobError(where="price_history()", key=name, value=value, allowed=f"one of the filters {known}")
    wanted = HistoryFilter(key=key, **{f"{name}s": _names(value) for name, value in filters.items()})
    return PriceHistoryResult(read_price_history(wanted, since=since, limit=limit, now=now, store=store))


def _names(value: object) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(one) for one in value)  # type: ignore[attr-defined]


def _job_flags(flags: Mapping[str, object], *, where: str) -> Job:
    """Return keyword arguments as input; a path object counts as its text, in a list of them too."""
    return Job.from_mapping({key: _plain(value) for key, value in flags.items()}, where=where)


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return fspath(value) if isinstance(value, PathLike) else value


def _source(job: object) -> Job | CompleteJob | Path | str | None:
    """Return the first argument if it is something a job can be read from. Raises JobError otherwise."""
    if job is None or isinstance(job, Job | CompleteJob | Path | str):
        return job
    raise JobError(where="job", key="job", value=job, allowed="the path of a job file, a Job, or keyword arguments")
