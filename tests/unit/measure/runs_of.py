"""Measured runs for tests: of a small dense model, with whatever readings a test gives them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from optimizer.measure.record import MeasuredRun, Readings
from optimizer.physics.axes import Loss, Stack, Tuning
from optimizer.physics.recipe import Recipe
from optimizer.workload.models import ModelSpec, load_models

GPU = "A100-SXM-80GB"


@cache
def model() -> ModelSpec:
    """Return the model of all runs: the table that it comes from is read once."""
    return load_models().resolve("llama-3.1-8b")


def recipe_of(**changes: object) -> Recipe:
    values: dict[str, object] = {
        "tuning": Tuning.LORA, "micro_batch": 4, "grad_accum": 2, "seq_len": 1024, "packing": True, "stack": Stack.HF,
        "stack_known": True, "loss": Loss.STANDARD,
    }  # fmt: skip
    return Recipe(**{**values, **changes})  # type: ignore[arg-type]


def run_of(tokens_per_s: float | None = None, *, recipe: Recipe | None = None, **changes: object) -> MeasuredRun:
    readings = {name: changes.pop(name) for name in list(changes) if name.endswith("_bytes")}
    run = MeasuredRun(
        model=model(),
        recipe=recipe or recipe_of(),
        gpu=GPU,
        readings=Readings(tokens_per_s=tokens_per_s, **readings),  # type: ignore[arg-type]
        source="probe",
        made_at="2031-05-06T07:08:09Z",
    )
    return replace(run, **changes)  # type: ignore[arg-type]
