"""The use case `estimate`: one recipe on one GPU type, no search."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from cache.store import BundledStore
from optimizer.physics.axes import Offload
from optimizer.physics.recipe import caution
from optimizer.physics.tabulate import Machine
from optimizer.report.answers import EstimateAnswer
from optimizer.search.evaluate import evaluate_one
from optimizer.search.results import SnapshotReport
from optimizer.workload.job_limits import gpu_advice
from providers.errors import JobError
from providers.offer import NANO, BillingTerms, Offer, PriceClass, PricingModel
from providers.units import format_bytes

from .calibration_notes import calibration_notes, report_on
from .preparing import COMMAND_LINE, prepare
from .recipe_choice import RecipeChoice, choose_recipe, machine_counts
from .recipe_table import recipe_in_force
from .tables import load_tables

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cache.store import PriceStore
    from optimizer.physics.recipe import Recipe
    from optimizer.search.results import Evaluation
    from optimizer.workload.job import Job
    from optimizer.workload.job_input import JobInput
    from optimizer.workload.models import ModelSpec
    from providers.gpus import Gpu, GpuTable
    from providers.offer import PriceSnapshot

    from .preparing import Prepared
    from .recipe_choice import ChosenRecipe
    from .settings import Settings
    from .tables import Knowledge

__all__ = ["RecipeChoice", "estimate_recipe"]

MOST_USD_PER_GPU_HOUR = 10_000
LIMITS_OF_A_SEARCH = (
    "budget", "quality_floor", "max_complexity", "exclude_gpu", "max_gpus", "max_nodes", "top",
)  # fmt: skip
"""Keys that a job file may carry for `plan`; one recipe on one machine is judged by none of them."""

TOKENS_IF_UNSAID = 1_000_000
"""Memory and speed need no amount of data; time and cost are then those of a million tokens, and say so."""


def estimate_recipe(
    inputs: JobInput | Job | Path | str | None = None,
    *,
    recipe: RecipeChoice,
    flags: JobInput | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
    where: str = COMMAND_LINE,
) -> EstimateAnswer:
    """Return memory, speed, duration and cost of one recipe on one kind of machine.

    The job names at most one method and width (default: LoRA at 16 bits) and, unless `recipe` does, the GPU. Cost uses
    `usd_per_gpu_hour` when given, otherwise the cheapest offer of exactly that machine among the providers, regions
    and pricing models of the job (on-demand unless asked otherwise), which the answer names; without either it is
    unknown. Raises JobError for a mix that makes no sense, with the reason; other errors as in `planning.plan_job`.
    """
    ready = prepare(
        inputs,
        flags=flags,
        now=now,
        settings=settings,
        store=store,
        tables=tables,
        where=where,
        needs_prices=False,
        tokens_if_unsaid=TOKENS_IF_UNSAID,
        searching=False,
    )
    recipe = recipe_in_force(recipe, ready.inputs, flags, where=ready.where)
    chosen, gpu, gpus, nodes = _chosen(recipe, ready)
    price = _find_price(recipe, ready, chosen.job, gpu, gpus)
    machine = _machine(gpu, gpus, nodes, price.offer)
    done = evaluate_one(
        chosen.job,
        chosen.recipe,
        machine,
        price.offer,
        ready.tables.search,
        ready.now,
        terms=None if price.offer is None else ready.snapshot.billing_of(price.offer),
    )
    return EstimateAnswer(
        made_at=ready.now,
        job=chosen.job,
        recipe=done.recipe,
        gpu=done.gpu,
        gpus_per_node=done.gpus_per_node,
        nodes=done.nodes,
        memory=done.memory,
        speed=done.speed,
        duration_s=done.duration_s,
        duration_parts_s=done.duration_parts_s,
        finish_s_at_confidence=done.finish_s_at_confidence,
        finish_probability_ppm=done.finish_probability_ppm,
        quote=done.quote,
        offer=price.offer if price.origin == "offer" else None,
        price_from=price.origin,
        usd_per_gpu_hour_nano=None if price.offer is None else price.offer.unit_price_nano // gpus,
        quality=done.quality,
        complexity=done.complexity,
        fits=done.fits,
        fits_expected=done.fits_expected,
        host_fits=done.host_fits,
        snapshot=None if price.origin == "given" else _snapshot_report(ready.snapshot),
        notes=(
            *price.notes,
            *(() if price.origin == "given" else ready.price_notes),
            *_host_notes(done, price.offer),
            *filter(None, (caution(done.recipe, gpu),)),
            *_unused_notes(ready.inputs),
            *calibration_notes(ready.calibration, chosen.job, [(done.recipe, machine)]),
        ),
        calibration=report_on(ready.calibration, chosen.job),
    )


def recipe_on_machine(
    inputs: JobInput | Job | Path | str | None,
    *,
    recipe: RecipeChoice,
    flags: JobInput | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    tables: Knowledge | None = None,
    where: str = COMMAND_LINE,
) -> tuple[ModelSpec, Recipe, Machine]:
    """Return what the input of `estimate` describes, without estimating it: a run whose speed somebody measured.

    What decides the speed must be said: a default would be calibrated to as if it had been measured. Raises JobError
    naming what is missing; other errors as in `estimate_recipe`.
    """
    ready = prepare(
        inputs,
        flags=flags,
        now=now,
        settings=settings,
        store=BundledStore((tables or load_tables()).gpus),  # speed has no price: nothing to ask a database for
        tables=tables,
        where=where,
        needs_prices=False,
        tokens_if_unsaid=TOKENS_IF_UNSAID,
        searching=False,
        calibrating=False,
    )
    recipe = recipe_in_force(recipe, ready.inputs, flags, where=ready.where)
    _one_gpu(recipe, ready.job, ready.tables.gpus, ready.where)
    _refuse_unsaid(recipe, ready)
    chosen, gpu, gpus, nodes = _chosen(recipe, ready)
    return chosen.job.model, chosen.recipe, _machine(gpu, gpus, nodes, None)


def _refuse_unsaid(recipe: RecipeChoice, ready: Prepared) -> None:
    said = ready.inputs
    length = said.seq_len or said.tokens_per_sample or said.dataset or said.prompt_tokens
    needed = {"method": said.method, "stack": said.stack, "micro_batch": recipe.micro_batch, "seq_len": length}
    missing = [key for key, value in needed.items() if not value]
    if missing:
        flags = ", ".join("--" + key.replace("_", "-") for key in missing)
        allowed = f"said for a run that was measured ({flags}): a default is nobody's measurement"
        raise JobError(where=ready.where, key=missing[0], value=None, allowed=allowed)


def _chosen(recipe: RecipeChoice, ready: Prepared) -> tuple[ChosenRecipe, Gpu, int, int]:
    """Return the recipe in force, the GPU, how many of them a node has, and the nodes."""
    gpu = _one_gpu(recipe, ready.job, ready.tables.gpus, ready.where)
    gpus, nodes = machine_counts(recipe, ready.where)
    batch_said = ready.inputs.global_batch is not None
    chosen = choose_recipe(recipe, ready.job, gpu, gpus=gpus, nodes=nodes, batch_said=batch_said, where=ready.where)
    return chosen, gpu, gpus, nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Price:
    """What the machine is priced with: `origin` is given, offer or unknown; the offer is made up for a given price."""

    origin: str
    offer: Offer | None
    notes: tuple[str, ...] = ()


def _find_price(recipe: RecipeChoice, ready: Prepared, job: Job, gpu: Gpu, gpus: int) -> _Price:
    if recipe.usd_per_gpu_hour is not None:
        nano = _usd_nano(recipe.usd_per_gpu_hour, ready.where)
        return _Price(origin="given", offer=_given_offer(gpu, gpus, nano, ready.now))
    found = _cheapest_offer(ready.snapshot, job, gpu, gpus, now=ready.now)
    if found is not None:
        return _Price(origin="offer", offer=found)
    sizes = sorted({offer.gpu_count for offer in ready.snapshot.offers if offer.gpu == gpu.id})
    others = f"; there are machines with {', '.join(map(str, sizes))}" if sizes else ""
    note = f"No offer that the job allows is a machine with {gpus} x {gpu.id}{others}."
    return _Price(origin="unknown", offer=None, notes=(note,))


def _cheapest_offer(snapshot: PriceSnapshot, job: Job, gpu: Gpu, gpus: int, *, now: datetime) -> Offer | None:
    """Return the cheapest offer of exactly this machine that the job allows; on-demand unless it asks otherwise."""
    models = job.pricing_models or (PricingModel.ON_DEMAND.value,)
    fitting = [
        offer
        for offer in snapshot.offers
        if offer.gpu == gpu.id
        and offer.gpu_count == gpus
        and offer.excluded_because is None
        # A price of zero is a gift of the user's own machine, or a defect of the source.
        and (offer.unit_price_nano > 0 or offer.price_class is PriceClass.OWN)
        and offer.pricing_model.value in models
        and (not job.providers or offer.provider in job.providers)
        and (not job.regions or offer.region in job.regions)
        and (job.max_price_age_s is None or (now - offer.observed_at).total_seconds() <= job.max_price_age_s)
    ]
    return min(fitting, key=lambda offer: (offer.unit_price_nano, offer.key), default=None)


def _given_offer(gpu: Gpu, gpus: int, nano_per_gpu: int, now: datetime) -> Offer:
    """Return a stand-in that bills the given price by the second, disk and egress included, as a calculator would."""
    return Offer(
        provider="given",
        region="given",
        instance_type=f"{gpus}x{gpu.id}",
        gpu=gpu.id,
        gpu_name=gpu.id,
        gpu_count=gpus,
        pricing_model=PricingModel.ON_DEMAND,
        unit_price_nano=nano_per_gpu * gpus,
        observed_at=now,
        source="--usd-per-gpu-hour",
        price_class=PriceClass.OWN,
        billing=BillingTerms(source="--usd-per-gpu-hour"),
    )


def _machine(gpu: Gpu, gpus: int, nodes: int, offer: Offer | None) -> Machine:
    return Machine(
        gpu=gpu,
        gpu_count=gpus,
        nodes=nodes,
        host_ram_bytes=None if offer is None else offer.host_ram_bytes,
        disk_bytes=None if offer is None else offer.disk_bytes,
        network_bytes_per_s=None if offer is None else offer.network_bytes_per_s,
    )


def _one_gpu(recipe: RecipeChoice, job: Job, gpus: GpuTable, where: str) -> Gpu:
    """Return the GPU that the recipe or, failing that, the job names. Raises JobError for none and for several."""
    if recipe.gpu is None:
        if len(job.gpus) == 1:
            return gpus.by_id[job.gpus[0]]
        value = list(job.gpus) if job.gpus else None
        raise JobError(where=where, key="gpu", value=value, allowed="exactly one GPU, like --gpu H100-SXM-80GB")
    gpu = gpus.resolve(recipe.gpu)
    if gpu is None:
        raise JobError(where=where, key="gpu", value=recipe.gpu, allowed=gpu_advice(recipe.gpu, gpus))
    return gpu


def _usd_nano(given: Decimal | float | str, where: str) -> int:
    """Return dollars as billionths. Raises JobError for anything but a finite amount from 0 to 10000."""
    try:
        usd = Decimal(str(given).strip().removeprefix("$"))
    except InvalidOperation:
        usd = Decimal("NaN")
    if isinstance(given, bool) or not usd.is_finite() or not 0 <= usd <= MOST_USD_PER_GPU_HOUR:
        allowed = f"dollars from 0 to {MOST_USD_PER_GPU_HOUR}"
        raise JobError(where=where, key="usd_per_gpu_hour", value=given, allowed=allowed)
    return int((usd * NANO).to_integral_value())


def _snapshot_report(snapshot: PriceSnapshot) -> SnapshotReport | None:
    if not snapshot.offers:
        return None
    observed = [offer.observed_at for offer in snapshot.offers]
    return SnapshotReport(
        sha256=snapshot.sha256,
        oldest_observed_at=min(observed),
        newest_observed_at=max(observed),
        offers=len(snapshot.offers),
        unusable={},
    )


def _host_notes(done: Evaluation, offer: Offer | None) -> tuple[str, ...]:
    needed = format_bytes(done.memory.host.high)
    if done.host_fits is False and offer is not None:
        has = format_bytes(offer.host_ram_bytes or 0)
        return (f"The node needs up to {needed} of its own memory, and {offer.instance_type} has {has}.",)
    if done.host_fits is None and done.recipe.offload is not Offload.NONE:
        return (f"The node needs up to {needed} of its own memory; how much it has is unknown.",)
    return ()


def _unused_notes(inputs: JobInput) -> tuple[str, ...]:
    """Return which limits of the job were passed over: an estimate does not choose, so it checks none of them."""
    unused = [key for key in LIMITS_OF_A_SEARCH if getattr(inputs, key) is not None]
    return (f"Limits of a search, not checked here: {', '.join(unused)}.",) if unused else ()
