"""The fitted and assumed constants of the memory model, read from `data/memory.toml` with their units and origins."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

from providers.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightConstants:
    """Bytes per weight, scales included, and what a k-bit layer is expanded to while it computes."""

    nf4_bytes: float
    nf4_double_bytes: float
    int8_bytes: float
    int8_row_scale_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConstants:
    """Bytes per trained parameter that the optimizer keeps, and that its step takes for a moment."""

    moment_count: float
    eight_bit_bytes: float
    factored_bytes_per_row: float
    largest_tensor_temporaries: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationConstants:
    """Bytes per token x hidden or x intermediate width, in a 16-bit run."""

    live_hidden: float
    live_intermediate: float
    live_intermediate_plain: float
    live_adapter_fused: float
    live_adapter_plain: float
    live_fp32_factor: float
    live_moe_factor: float
    live_unsloth_factor: float
    block_sharded_adapter_factor: float
    kept_norm: float
    kept_norm_lean: float
    kept_gated: float
    kept_gated_lean: float
    kept_plain: float
    kept_adapter_factor: float
    kept_compiled_factor: float
    kept_selective_factor: float
    score_bytes_live: float
    score_bytes_kept: float
    dora_bytes_per_output: float
    dora_weight_copies: float
    dequantisation_slack: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitConstants:
    """Bytes per token x vocabulary and x hidden width at the peak of the loss."""

    standard_vocab: float
    half_vocab: float
    autocast_vocab: float
    litgpt_vocab: float
    standard_hidden: float
    triton_vocab: float
    triton_vocab_lean: float
    triton_hidden: float
    fused_vocab: float
    chunked_vocab: float
    fused_hidden: float
    fp32_factor: float
    compiled_factor: float
    reference_vocab: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommunicationConstants:
    """Buffers of sharded and data-parallel training."""

    nccl_bytes: float
    zero_bucket_elements: float
    zero_bucket_copies: float
    zero3_live_elements: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OverheadConstants:
    """From what torch allocated to what the device shows and what must fit."""

    context_bytes: float
    fragmentation: float
    fragmentation_sharded: float
    fragmentation_variable: float
    slack_fused: float
    slack_fused_sharded: float
    slack_triton_small: float
    slack_triton_small_sharded: float
    slack_triton_large: float
    slack_triton_large_sharded: float
    slack_standard: float
    slack_standard_sharded: float
    slack_variable: float
    large_vocab: float
    full_sum: float
    full_sum_sharded: float
    loss_slack_from: float
    load_slack: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConstants:
    """Memory of the machine rather than of the card, per process or per node."""

    process_bytes: float
    staging_bytes: float
    pinned_factor: float
    nvme_buffer_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SigmaConstants:
    """Relative standard deviations, by part and by what is unusual about a run; they add in quadrature."""

    weights: float
    state: float
    activations: float
    logits: float
    buffers: float
    model: float
    sharded: float
    unknown_stack: float
    variable_length: float
    no_checkpointing: float
    selective: float
    eager: float
    moe: float
    offload: float
    levers: float
    dora: float
    dpo: float
    ppo: float
    several_nodes: float
    context: float
    slack: float
    fragmentation: float
    load: float
    host: float
    host_kbit_offload: float
    unmeasured_architecture: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConstants:
    """Constants of the memory model. Units and origins stand beside each value in `data/memory.toml`."""

    weights: WeightConstants
    optimizer: OptimizerConstants
    activations: ActivationConstants
    logits: LogitConstants
    communication: CommunicationConstants
    overhead: OverheadConstants
    host: HostConstants
    sigma: SigmaConstants


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantRecord:
    """One constant with its unit and where it comes from, for reports and for calibration.

    `fitted` says how surely, and from how many rows of which sources; "" for a definition or an assumption.
    """

    name: str
    value: float
    unit: str
    origin: str
    fitted: str = ""


GROUPS: dict[str, type] = {
    "weights": WeightConstants,
    "optimizer": OptimizerConstants,
    "activations": ActivationConstants,
    "logits": LogitConstants,
    "communication": CommunicationConstants,
    "overhead": OverheadConstants,
    "host": HostConstants,
    "sigma": SigmaConstants,
}

Group = TypeVar("Group")


def load_memory_constants(path: Path | None = None) -> MemoryConstants:
    """Return the constants of the memory model, from `path` or from the table that ships with the package.

    Raises JobError naming the file and the key that is missing, unknown or no number.
    """
    values = {record.name: record.value for record in load_memory_records(path)}

    def group(name: str, kind: type[Group]) -> Group:
        return kind(**{field.name: values[f"{name}.{field.name}"] for field in fields(kind)})  # type: ignore[arg-type]

    return MemoryConstants(
        weights=group("weights", WeightConstants),
        optimizer=group("optimizer", OptimizerConstants),
        activations=group("activations", ActivationConstants),
        logits=group("logits", LogitConstants),
        communication=group("communication", CommunicationConstants),
        overhead=group("overhead", OverheadConstants),
        host=group("host", HostConstants),
        sigma=group("sigma", SigmaConstants),
    )


def load_memory_records(path: Path | None = None) -> tuple[ConstantRecord, ...]:
    """Return every constant with unit and origin, in the order of the groups. Raises JobError as the loader does."""
    where = str(path) if path else "memory.toml"
    text = path.read_text("utf-8") if path else (files(__package__) / "data" / "memory.toml").read_text("utf-8")
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise JobError(where=where, key="(whole file)", value=str(err), allowed="valid TOML") from err
    wanted = {name: tuple(field.name for field in fields(kind)) for name, kind in GROUPS.items()}
    for name, table in document.items():
        unknown = set(table) - set(wanted.get(name, ())) if isinstance(table, dict) else {name}
        if name not in wanted or unknown:
            key = ".".join((name, *sorted(unknown)[:1])) if name in wanted else name
            raise JobError(where=where, key=key, value="unknown", allowed="only the constants of the memory model")
    return tuple(_record(document, where, name, key) for name, keys in wanted.items() for key in keys)


def _record(document: dict[str, Any], where: str, group: str, key: str) -> ConstantRecord:
    name = f"{group}.{key}"
    entry = document.get(group, {}).get(key)
    if not isinstance(entry, dict):
        raise JobError(where=where, key=name, value=entry, allowed="a table with value, unit and origin")
    value = entry.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise JobError(where=where, key=f"{name}.value", value=value, allowed="a number, zero or positive")
    return ConstantRecord(
        name=name,
        value=float(value),
        unit=str(entry.get("unit", "")),
        origin=str(entry.get("origin", "")),
        fitted=str(entry.get("fitted", "")),
    )
