"""The `job` object of plans and estimates: what was asked, with every default that was used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .json_text import JsonObject, moment, whole, whole_or_null

if TYPE_CHECKING:
    from decimal import Decimal

    from optimizer.workload.job import Job, Overheads
    from optimizer.workload.lengths import LengthDistribution

MICRO = 1_000_000


def job_object(job: Job) -> JsonObject:
    """Return the job: the model and the data, how it may be done, its limits, and the defaults used."""
    return {
        "name": job.name,
        "model": job.model.hf_id or job.model.name,
        "model_params": job.model.total_params,
        "tokens": job.tokens,
        "sequences": job.sequences,
        "seq_len": job.seq_len,
        "lengths": None if job.lengths is None else _lengths_object(job.lengths),
        "global_batch": job.global_batch,
        "packing": job.packing,
        "runs": job.runs,
        "methods": list(job.methods),
        "quantization_bits": list(job.quantization_bits),
        "objective": job.objective,
        "lora_rank": job.lora_rank,
        "target_modules": list(job.target_modules),
        "optimizer": job.optimizer,
        "loss": job.loss,
        "attention": job.attention,
        "stack": job.stack,
        "stack_stated": job.stack_known,
        "prompt_tokens": job.prompt_tokens,
        "response_tokens": job.response_tokens,
        "reward_model": None if job.reward_model is None else job.reward_model.hf_id or job.reward_model.name,
        "deadline_at": moment(job.deadline_at),
        "confidence_ppm": job.confidence_ppm,
        "budget_usd_micro": None if job.budget_usd is None else usd_micro(job.budget_usd),
        "quality_floor": job.quality_floor,
        "max_complexity": job.max_complexity,
        "providers": list(job.providers),
        "regions": list(job.regions),
        "gpus": list(job.gpus),
        "exclude_gpus": list(job.exclude_gpus),
        "max_gpus": job.max_gpus,
        "max_nodes": job.max_nodes,
        "pricing_models": list(job.pricing_models),
        "max_price_age_s": whole_or_null(job.max_price_age_s),
        "executor": job.executor,
        "overheads": _overheads_object(job.overheads),
        "defaults_used": list(job.defaults_used),
        "basis": job.basis,
    }


def usd_micro(usd: Decimal) -> int:
    """Return dollars as whole micro-dollars."""
    return int((usd * MICRO).to_integral_value())


def _lengths_object(lengths: LengthDistribution) -> JsonObject:
    return {
        "count": lengths.count,
        "mean_tokens": whole(lengths.mean),
        "p50_tokens": lengths.percentile(0.5),
        "p95_tokens": lengths.percentile(0.95),
        "max_tokens": lengths.quantiles[-1],
        "basis": lengths.basis,
    }


def _overheads_object(overheads: Overheads) -> JsonObject:
    return {
        "setup_s": whole_or_null(overheads.setup_s),
        "data_bytes": whole(overheads.data_bytes),
        "egress_bytes": whole(overheads.egress_bytes),
        "disk_bytes": whole_or_null(overheads.disk_bytes),
        "checkpoint_every_s": whole_or_null(overheads.checkpoint_every_s),
        "eval_fraction_ppm": whole(overheads.eval_fraction * MICRO),
        "failed_run_multiplier_ppm": whole(overheads.failed_run_multiplier * MICRO),
        "labelling_usd_micro": usd_micro(overheads.labelling_usd),
        "preference_usd_micro": usd_micro(overheads.preference_usd),
        "evaluation_usd_micro": usd_micro(overheads.evaluation_usd),
        "oncall_usd_micro": usd_micro(overheads.oncall_usd),
    }
