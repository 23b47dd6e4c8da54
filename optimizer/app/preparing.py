"""What every use case starts with: input read and merged, the job completed, prices and tables at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cache.freshness import in_force
from cache.store import BundledStore
from optimizer.workload.job import Job, complete_job
from optimizer.workload.job_file import read_job_file
from optimizer.workload.job_input import JobInput
from providers.errors import JobError, PricesUnavailable
from providers.snapshot import make_snapshot

from .calibration_in_force import calibrated_tables, read_calibration, with_measured_stack
from .clock import current_time
from .expired_prices import expired_sentence, usable_by, without_expired
from .freshness_settings import spot_fresh_s
from .market import MarketChoice, known_names, read_market
from .price_store import opened
from .recipe_table import refuse_recipe
from .settings import Settings, load_settings
from .tables import Knowledge, load_tables

if TYPE_CHECKING:
    from datetime import datetime

    from cache.freshness import FreshnessTable
    from cache.store import PriceStore
    from providers.offer import PriceSnapshot

    from .calibration_in_force import InForce

COMMAND_LINE = "command line"

BESIDE_THE_JOB = frozenset(
    {
        "offers", "only_offers", "discounts", "usd_per_gpu_hour", "calibrate_with", "top", "now", "robust", "simulate",
        "seed", "quota", "account", "charge", "dataset_digest", "policy", "requote",
    }
)  # fmt: skip
"""Fields of the input that say nothing about the job: what may accompany a `Job` that is already complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything a use case works on. `inputs` is what was said, merged; `where` names it in error messages."""

    inputs: JobInput
    job: Job
    snapshot: PriceSnapshot
    tables: Knowledge
    now: datetime
    where: str
    calibration: InForce | None = None
    """What the constants in `tables` are calibrated with."""
    price_notes: tuple[str, ...] = ()
    """Which prices were left out for their age, for whoever reads the answer."""


def prepare(
    inputs: JobInput | Job | Path | str | None,
    *,
    flags: JobInput | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
    where: str = COMMAND_LINE,
    needs_prices: bool = True,
    tokens_if_unsaid: int | None = None,
    searching: bool = True,
    calibrating: bool = True,
) -> Prepared:
    """Return the complete job with the prices and tables that it is judged by. Arguments as in `planning.plan_job`.

    Without `needs_prices` an empty price list is an empty snapshot. `tokens_if_unsaid` stands in for the amount of data
    where the input says none, and is listed as assumed. A search (`searching`) refuses what only an estimate acts on.
    Without `calibrating` measured runs named in the settings are left aside.
    Raises JobError for input that is wrong or contradicts itself, KnowledgeMissing for an unknown model,
    PricesUnavailable when there is no price, or none young enough; StoreBusy, StoreDamaged for the store of prices.
    """
    known = load_tables() if tables is None else tables
    merged, place = _merge(inputs, flags, where)
    if searching:
        refuse_recipe(merged, where=place)
    stated = load_settings() if settings is None else settings
    moment = _moment(now, merged, stated, place)
    calibration = read_calibration(_calibration_files(merged, stated), known) if calibrating else None
    snapshot = _read_snapshot(_market_choice(merged, stated, place), stated, known, moment, store, needs_prices)
    if isinstance(inputs, Job):
        job = inputs
    else:
        asked, line = with_measured_stack(_with_settings(merged, stated), calibration)
        notes = [] if line is None else [line]
        if tokens_if_unsaid is not None and _says_no_amount(asked):
            asked = asked.overridden_by(JobInput(tokens=tokens_if_unsaid))
            why = "assumed: no amount of data was said; time and cost are for that"
            notes.insert(0, f"tokens = {tokens_if_unsaid:,} ({why})")
        job = complete_job(asked, models=known.models, gpus=known.gpus, now=moment, where=place)
        if notes:
            job = replace(job, defaults_used=(*notes, *job.defaults_used))
    if snapshot.offers:
        job = _with_known_places(job, snapshot, place)
    ages = in_force(stated.freshness)
    snapshot, price_notes = _believable(job, snapshot, ages, moment, needs_prices=needs_prices)
    calibrated = calibrated_tables(known, calibration, job.stack if job.stack_known else None)
    return Prepared(
        inputs=merged,
        job=job,
        snapshot=snapshot,
        tables=_judging_ages(calibrated, ages) if stated.freshness else calibrated,
        now=moment,
        where=place,
        calibration=calibration,
        price_notes=price_notes,
    )


def _read_snapshot(
    choice: MarketChoice,
    settings: Settings,
    known: Knowledge,
    now: datetime,
    store: PriceStore | None,
    needs_prices: bool,  # noqa: FBT001 - handed on
) -> PriceSnapshot:
    """Return all prices there are to choose from; none where none are needed. Raises as `read_market` does."""
    # Own offers alone need no database.
    given = BundledStore(known.gpus) if store is None and choice.only_offers else store
    with opened(settings, known.gpus, given) as here:
        try:
            return read_market(choice, store=here, gpus=known.gpus, now=now)
        except PricesUnavailable:
            if needs_prices:
                raise
            return make_snapshot(())


def _believable(
    job: Job, snapshot: PriceSnapshot, ages: FreshnessTable, now: datetime, *, needs_prices: bool
) -> tuple[PriceSnapshot, tuple[str, ...]]:
    """Return the snapshot without live prices that have expired, and what to say about it.

    A job that says how old a price may be is judged by that alone. Raises PricesUnavailable where the job could use
    nothing that is left, only what was left out.
    """
    if job.max_price_age_s is not None:
        return snapshot, ()
    left, expired = without_expired(snapshot, now=now, table=ages)
    missed = usable_by(job, expired, now=now, table=ages)
    if not missed:
        return left, ()
    sentence = expired_sentence(missed, now=now, table=ages)
    if needs_prices and not usable_by(job, left.offers, now=now, table=ages):
        raise PricesUnavailable(f"no price is left that this job could use: {sentence}")
    return left, (sentence,)


def _judging_ages(tables: Knowledge, ages: FreshnessTable) -> Knowledge:
    return replace(tables, search=replace(tables.search, spot_fresh_s=spot_fresh_s(ages)))


def _calibration_files(inputs: JobInput, settings: Settings) -> tuple[Path, ...]:
    return settings.calibration if inputs.calibrate_with is None else tuple(map(Path, inputs.calibrate_with))


def _says_no_amount(inputs: JobInput) -> bool:
    amounts = (inputs.tokens, inputs.samples, inputs.dataset, inputs.epochs)
    return inputs.objective in {None, "sft"} and all(amount is None for amount in amounts)


def _merge(inputs: JobInput | Job | Path | str | None, flags: JobInput | None, where: str) -> tuple[JobInput, str]:
    """Return what was said, flags over file, and the place that error messages name."""
    if isinstance(inputs, Path | str):
        return read_job_file(inputs).overridden_by(flags), str(inputs)
    if isinstance(inputs, Job):
        said = JobInput() if flags is None else flags
        for key, value in said.said().items():
            if key not in BESIDE_THE_JOB:
                raise JobError(where=where, key=key, value=value, allowed="not beside a complete Job: change the job")
        return said, where
    return (JobInput() if inputs is None else inputs).overridden_by(flags), where


def _moment(now: datetime | str | None, inputs: JobInput, settings: Settings, where: str) -> datetime:
    if now is not None:
        return current_time(now, where=where)
    if inputs.now is not None:
        return current_time(inputs.now, where=where)
    if settings.now is not None:
        return current_time(settings.now, where="environment", key="TUNEFARE_NOW")
    return current_time()


def _market_choice(inputs: JobInput, settings: Settings, where: str) -> MarketChoice:
    stated = None if inputs.offers is None else Path(inputs.offers)
    only = settings.only_offers if inputs.only_offers is None else inputs.only_offers
    return MarketChoice(
        offers=settings.offers if stated is None else stated,
        only_offers=bool(only),
        discounts={**settings.discounts, **(inputs.discounts or {})},
        where=where,
    )


def _with_settings(inputs: JobInput, settings: Settings) -> JobInput:
    if settings.max_price_age is None or inputs.max_price_age is not None:
        return inputs
    return inputs.overridden_by(JobInput(max_price_age=settings.max_price_age))


def _with_known_places(job: Job, snapshot: PriceSnapshot, where: str) -> Job:
    """Return the job with providers and regions as the price list writes them (`AWS` is `aws`).

    One that nothing is known of is refused: a typing error would otherwise read as "nothing fits".
    """
    providers = known_names(job.providers, {offer.provider for offer in snapshot.offers}, key="provider", where=where)
    regions = known_names(job.regions, {offer.region for offer in snapshot.offers}, key="region", where=where)
    if (providers, regions) == (job.providers, job.regions):
        return job
    return replace(job, providers=providers, regions=regions)
