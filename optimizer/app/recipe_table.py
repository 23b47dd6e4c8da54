"""The table `[recipe]` of a job file: the recipe of `estimate`, kept with the job; a search refuses it."""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from providers.errors import JobError

from .recipe_choice import RecipeChoice

if TYPE_CHECKING:
    from optimizer.workload.job_input import JobInput

KEYS: tuple[str, ...] = tuple(field.name for field in fields(RecipeChoice))

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("gpus", "nodes", "micro_batch", "grad_accum"), ((int,), "a whole number of at least 1")),
    **dict.fromkeys(("gpu", "attention", "sharding", "offload", "loss"), ((str,), "a word in quotes")),
    "checkpointing": ((bool, str), "true, false, or one of none, selective, full"),
    **dict.fromkeys(
        ("pure_bf16", "fused_optimizer", "optimizer_in_backward", "activation_offload"), ((bool,), "true or false")
    ),
    "usd_per_gpu_hour": ((int, float, str), "dollars from 0 to 10000"),
}
"""What a value of each key is made of; its range is checked where it is used, as for a flag."""


def recipe_in_force(said: RecipeChoice, inputs: JobInput, flags: JobInput | None, *, where: str) -> RecipeChoice:
    """Return the recipe flags over the table `[recipe]` of the input; a job flag `gpu` or price counts as a flag.

    Raises JobError naming `recipe.KEY` for an unknown key and for a value of the wrong kind.
    """
    merged: dict[str, Any] = dict(inputs.recipe or {})
    for key, value in merged.items():
        _check(key, value, where)
    for key in ("gpu", "usd_per_gpu_hour"):
        if flags is not None and getattr(flags, key) is not None:
            merged.pop(key, None)
    if inputs.usd_per_gpu_hour is not None:
        merged.setdefault("usd_per_gpu_hour", inputs.usd_per_gpu_hour)
    merged |= {key: value for key in KEYS if (value := getattr(said, key)) is not None}
    return RecipeChoice(**merged)


def _check(key: str, value: object, where: str) -> None:
    if key not in _KINDS:
        close = get_close_matches(key, KEYS, n=1, cutoff=0.7)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(KEYS)}"
        raise JobError(where=where, key=f"recipe.{key}", value=value, allowed=f"unknown key; {hint}")
    kinds, allowed = _KINDS[key]
    # A boolean is an int to Python, and to nobody else.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise JobError(where=where, key=f"recipe.{key}", value=value, allowed=allowed)


def refuse_recipe(inputs: JobInput, *, where: str) -> None:
    """Raise JobError for what only `estimate` acts on: a search would pass over it in silence."""
    if inputs.recipe is not None:
        allowed = "only with `tunefare estimate`: a search finds the recipe; method, quantization and gpu narrow it"
        raise JobError(where=where, key="recipe", value=sorted(inputs.recipe), allowed=allowed)
    if inputs.usd_per_gpu_hour is not None:
        allowed = "only with `tunefare estimate`: a search takes prices from the list and from `offers`"
        raise JobError(where=where, key="usd_per_gpu_hour", value=inputs.usd_per_gpu_hour, allowed=allowed)
