"""The JSON objects that plans, estimates and price lists share: offer, recipe, memory, speed, duration, cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optimizer.physics.axes import Checkpointing

from .json_spot import spot_object
from .json_text import JsonObject, interval, moment, parts, ppm, whole, whole_or_null
from .objective import objective_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optimizer.physics.recipe import Recipe
    from optimizer.search.results import Candidate, LineItem, MemoryReading, Quote, SpeedReading
    from providers.offer import Offer

# A quantity that is no whole number is written in the smaller unit, so that integers keep it.
_SMALLER_UNITS: Mapping[str, tuple[str, int]] = {
    "h": ("s", 3600),
    "GB": ("bytes", 10**9),
    "GiB": ("bytes", 2**30),
    "GB-month": ("kB-month", 10**6),
}

_FINE_UNITS = frozenset({"s", "bytes", "usd_micro"})
"""Units so small that a part of one says nothing: rounded to whole ones."""


def candidate_object(candidate: Candidate, now: datetime) -> JsonObject:
    """Return a candidate as one flat object: the keys of `choice`, and beside them what it needs, takes and costs."""
    return {**choice_object(candidate, now, with_policy=False), **outcome_objects(candidate)}


def choice_object(candidate: Candidate, now: datetime, *, with_policy: bool = True) -> JsonObject:
    """Return what is rented and how it is trained: the `choice` of a plan, with the spot policy to follow if any."""
    return {
        **offer_object(candidate.offer, now),
        **recipe_object(candidate.recipe),
        "gpu": candidate.gpu.id,
        "gpus_per_node": candidate.offer.gpu_count,
        "nodes": candidate.nodes,
        "runs": candidate.runs,
        "quality": candidate.quality,
        "complexity": candidate.complexity,
        **objective_object(candidate.recipe.objective.value),
        "spot": spot_object(candidate.spot, with_policy=with_policy),
    }


def outcome_objects(candidate: Candidate) -> JsonObject:
    """Return what a candidate needs, how fast it is, how long it takes and what it costs, per run."""
    return {
        "memory": memory_object(candidate.memory),
        "throughput": throughput_object(candidate.speed),
        "duration_s": interval(candidate.duration_s),
        "duration_parts_s": parts(candidate.duration_parts_s, whole(candidate.duration_s.expected)),
        "finish_s_at_confidence": whole(candidate.finish_s_at_confidence),
        "finish_probability_ppm": candidate.finish_probability_ppm,
        "cost_usd_micro": cost_object(candidate.quote),
        "billed_s": candidate.quote.billed_s,
        "components": [component_object(item) for item in candidate.quote.items],
        "slacks": {name: math.floor(slack) for name, slack in candidate.slacks.items() if math.isfinite(slack)},
    }


def offer_object(offer: Offer, now: datetime) -> JsonObject:
    """Return where a machine is rented and at what price, with the age of that price at `now`."""
    return {
        "provider": offer.provider,
        "region": offer.region,
        "zone": offer.zone,
        "variant": offer.variant,
        "instance_type": offer.instance_type,
        "pricing_model": offer.pricing_model.value,
        "unit_price_nano": offer.unit_price_nano,
        "currency": offer.currency,
        "observed_at": moment(offer.observed_at),
        "age_s": age_s(offer, now),
        "source": offer.source,
        "price_class": offer.price_class.value,
        "flags": list(offer.flags),
    }


def age_s(offer: Offer, now: datetime) -> int:
    """Return the age of a price in whole seconds at `now`; never negative (a clock may run behind its source)."""
    return max(0, int((now - offer.observed_at).total_seconds()))


def recipe_object(recipe: Recipe) -> JsonObject:
    """Return how the run is done."""
    return {
        "method": recipe.method,
        "objective": recipe.objective.value,
        "quantization_bits": recipe.bits,
        "sharding": recipe.sharding.value,
        "offload": recipe.offload.value,
        "stack": recipe.stack.value,
        "stack_stated": recipe.stack_known,
        "micro_batch": recipe.micro_batch,
        "grad_accum": recipe.grad_accum,
        "checkpointing": recipe.checkpointing is not Checkpointing.NONE,
        "checkpointing_kind": recipe.checkpointing.value,
        "precision": recipe.precision.value,
        "attention": recipe.attention.value,
        "loss": recipe.loss.value,
        "optimizer": recipe.optimizer.value,
        "fused_optimizer": recipe.fused_optimizer,
        "optimizer_in_backward": recipe.optimizer_in_backward,
        "activation_offload": recipe.activation_offload,
        "lora_rank": None if recipe.method == "full" else recipe.lora_rank,
        "target_modules": None if recipe.method == "full" else list(recipe.target_modules),
        "seq_len": recipe.seq_len,
        "packing": recipe.packing,
        "padding_ppm": ppm(recipe.padding_factor),
        "row_tokens": whole_or_null(recipe.row_tokens),
    }


def memory_object(reading: MemoryReading) -> JsonObject:
    """Return the memory of one GPU in bytes: four readings, the load peak, host and NVMe per node, and the parts."""
    return {
        "usable_bytes": reading.usable_bytes,
        "required_bytes": interval(reading.required),
        "load_required_bytes": interval(reading.load_required),
        "load_peak_bytes": interval(reading.load_peak),
        "allocated_bytes": interval(reading.allocated),
        "reserved_bytes": interval(reading.reserved),
        "device_bytes": interval(reading.device),
        "host_bytes": interval(reading.host),
        "nvme_bytes": interval(reading.nvme),
        "parts_bytes": parts(reading.parts_bytes, whole(reading.allocated.expected)),
        "load_parts_bytes": parts(reading.load_parts_bytes, whole(reading.load_peak.expected)),
        "fit_probability_ppm": reading.fit_probability_ppm,
        "basis": reading.basis.value,
    }


def throughput_object(speed: SpeedReading) -> JsonObject:
    """Return the speed of the whole job: real tokens per second, what bounds it, one step in microseconds by cause."""
    step_us = whole(speed.step_s * 1_000_000)
    return {
        "tokens_per_s": interval(speed.tokens_per_s),
        "bound": speed.bound,
        "basis": speed.tokens_per_s.basis.value,
        "mfu_ppm": ppm(speed.mfu),
        "sigma_log_ppm": ppm(speed.sigma_log),
        "step_us": step_us,
        "step_parts_us": parts(speed.parts_s, step_us, scale=1_000_000),
    }


def cost_object(quote: Quote) -> JsonObject:
    """Return the cost of one run in micro-dollars with both ends."""
    return {"low": quote.low_usd_micro, "expected": quote.expected_usd_micro, "high": quote.high_usd_micro}


def component_object(item: LineItem) -> JsonObject:
    """Return one line of the bill; a broken quantity is written in the smaller unit, so that it stays whole."""
    quantity, unit = whole_quantity(item.quantity, item.unit)
    return {"name": item.name, "quantity": quantity, "unit": unit, "usd_micro": item.usd_micro}


def whole_quantity(quantity: float, unit: str) -> tuple[int, str]:
    """Return a quantity as a whole number and the unit that makes it one: 1.5 GB is 1500000000 bytes.

    Units with a smaller one always take it, so that the unit does not hang on the value; a remark in brackets after
    the unit stays. Any other unit counts whole things, and a broken count raises ValueError.
    """
    base, bracket, remark = unit.partition(" (")
    if base in _SMALLER_UNITS:
        smaller, factor = _SMALLER_UNITS[base]
        return whole(quantity * factor), smaller + bracket + remark
    if base not in _FINE_UNITS and not float(quantity).is_integer():
        raise ValueError(f"{quantity} {unit}: a broken quantity of a unit that counts")
    return whole(quantity), unit
