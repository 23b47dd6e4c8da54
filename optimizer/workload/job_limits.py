"""Checks of single statements of a job: model, GPUs, widths, deadline, confidence."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from providers.errors import JobError, KnowledgeMissing
from providers.gpus import normal_name
from providers.units import MOMENT_ALLOWED, format_moment, parse_deadline, parse_duration

from .models import ModelSpec, ModelTable, is_model_path, model_from_config
from .vocabulary import METHOD_BITS, METHOD_BITS_REASON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.gpus import GpuTable

DEFAULT_CONFIDENCE = 0.9
PPM = 1_000_000


class DefaultNotes(Protocol):
    """Where defaults are noted as they are taken."""

    def note(self, name: str, value: object, why: str) -> None:
        """Add the line "name = value (why)"."""


def model_named(name: str | None, *, key: str, models: ModelTable, where: str) -> ModelSpec:
    """Return the model of a table name or of a local config.json.

    Raises JobError when it was not said or the file is wrong, KnowledgeMissing when the table does not know it.
    """
    if name is None or not name.strip():
        allowed = "required: a model name such as llama-3.1-8b, or the path of a config.json"
        raise JobError(where=where, key=key, value=name, allowed=allowed)
    if is_model_path(name):
        return model_from_config(name)
    try:
        return models.resolve(name)
    except KnowledgeMissing as err:
        raise KnowledgeMissing(f"{where}: {key}: {err}") from err


def gpu_ids(
    wanted: Sequence[str] | None, unwanted: Sequence[str] | None, *, table: GpuTable, where: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return canonical ids of the GPUs asked for and of those excluded.

    Raises JobError for a GPU that the table does not know, and when nothing asked for is left.
    """
    keep = _resolved(wanted or (), key="gpu", table=table, where=where)
    drop = _resolved(unwanted or (), key="exclude_gpu", table=table, where=where)
    if keep and not set(keep) - set(drop):
        allowed = "at least one GPU of `gpu` that is not excluded"
        raise JobError(where=where, key="exclude_gpu", value=list(drop), allowed=allowed)
    return keep, drop


def _resolved(names: Sequence[str], *, key: str, table: GpuTable, where: str) -> tuple[str, ...]:
    found = []
    for name in names:
        gpu = table.resolve(name)
        if gpu is None:
            raise JobError(where=where, key=key, value=name, allowed=gpu_advice(name, table))
        found.append(gpu.id)
    return tuple(dict.fromkeys(found))


def gpu_advice(name: str, table: GpuTable) -> str:
    """Return what to write in place of a GPU name that the table cannot resolve: which GPUs it could mean."""
    close = table.close_names(name, limit=6)
    words = set(normal_name(name).split("-"))
    meant = [gpu for gpu in close if words <= set(normal_name(gpu).split("-"))]
    if len(meant) > 1:
        return f"one GPU, and that could be any of {', '.join(meant)}"
    shown = close[:3] or tuple(sorted(table.by_id))[:5]
    return f"a GPU id or alias of the table, such as {', '.join(shown)}"


def refuse_senseless_widths(methods: Sequence[str] | None, quantization: Sequence[int] | None, *, where: str) -> None:
    """Raise JobError, with the reason, for a method that none of the widths asked for suits."""
    for method in methods or ():
        if quantization and not set(METHOD_BITS[method]) & set(quantization):
            value = ",".join(str(bits) for bits in quantization)
            allowed = f"not with method {method}: {METHOD_BITS_REASON[method]}"
            raise JobError(where=where, key="quantization", value=value, allowed=allowed)


def has_bare_experts(model: ModelSpec) -> bool:
    """Return whether the experts of a model are bare tensors, which PEFT and the k-bit loaders pass over."""
    return any(module.role == "expert" and not module.adaptable for module in model.linear_modules())


def widths_for(
    methods: Sequence[str] | None,
    quantization: Sequence[int] | None,
    *,
    model: ModelSpec,
    stack: str | None,
    defaults: DefaultNotes,
    where: str,
) -> tuple[int, ...]:
    """Return the widths asked for without repeats, empty for "all": 16 alone where the experts are bare tensors.

    bitsandbytes replaces linear layers; experts kept as one tensor of three dimensions (gpt-oss, Llama-4, Granite) are
    passed over and stay at 16 bits. Unsloth trains from checkpoints of its own that keep them as linear layers.
    Raises JobError where 8 or 4 bits are asked for and cannot be had.
    """
    asked = tuple(dict.fromkeys(quantization or ()))
    if stack == "unsloth" or not has_bare_experts(model):
        return asked
    reason = f"the experts of {model.name} are one bare tensor a layer, which the k-bit loaders pass over"
    allowed = f"{reason}: 16 bits (or --stack unsloth, whose checkpoints hold them as linear layers)"
    if set(asked) - {16}:
        value = ",".join(str(bits) for bits in asked)
        raise JobError(where=where, key="quantization", value=value, allowed=allowed)
    if "qlora" in (methods or ()):
        raise JobError(where=where, key="method", value="qlora", allowed=allowed)
    if not asked:
        defaults.note("width of the weights", 16, reason)
    return (16,)


def target_names(said: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the target modules without repeats; None when not said."""
    return None if said is None else tuple(dict.fromkeys(said))


def deadline_moment(said: str | datetime | None, *, now: datetime, where: str) -> datetime | None:
    """Return the aware UTC moment of a deadline, a span counted from `now`; None when there is none.

    Raises JobError for a moment without a zone, in the past, or beyond any sense.
    """
    if said is None:
        return None
    if isinstance(said, datetime):
        if said.tzinfo is None:
            raise JobError(where=where, key="deadline", value=said.isoformat(), allowed=MOMENT_ALLOWED)
        said = format_moment(said)
    try:
        return parse_deadline(said, now=now)
    except ValueError as err:
        raise JobError(where=where, key="deadline", value=said, allowed=str(err)) from err
    except OverflowError as err:
        allowed = f"a moment before the year 10000, seen from now ({format_moment(now)})"
        raise JobError(where=where, key="deadline", value=said, allowed=allowed) from err


def span_seconds(said: str | None, *, key: str, where: str) -> float | None:
    """Return a span in seconds; None when not said. Raises JobError for anything that is no span."""
    if said is None:
        return None
    try:
        return parse_duration(said)
    except ValueError as err:
        raise JobError(where=where, key=key, value=said, allowed=str(err)) from err


def confidence_ppm(said: float | None, *, defaults: DefaultNotes, where: str) -> int:
    """Return the probability of finishing in time that is asked for, in millionths (1 to 999,999)."""
    if said is None:
        defaults.note("confidence", DEFAULT_CONFIDENCE, "default")
        return round(DEFAULT_CONFIDENCE * PPM)
    millionths = round(said * PPM)
    if not 0 < millionths < PPM:
        allowed = "a number from 0.000001 to 0.999999"
        raise JobError(where=where, key="confidence", value=said, allowed=allowed)
    return millionths
