"""The fitted and assumed constants of the time model, read from `data/speed.toml` with their units and origins."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import JobError

from .axes import Optimizer, Stack
from .runs import ARCHITECTURES

if TYPE_CHECKING:
    from pathlib import Path

    from .runs import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedConstants:
    """Constants of throughput and duration. Units and origins stand beside each value in `data/speed.toml`."""

    # per stack, indexed by the code of `Stack`
    matrix_efficiency: Floats
    elementwise_bytes: Floats
    launch_s: Floats
    attention_weight: Floats
    stack_sigma: Floats
    # per architecture, indexed by position in `ARCHITECTURES`
    sustained_share: Floats
    attention_share: Floats
    flops_per_joule: Floats
    architecture_factor: Floats
    architecture_sigma: Floats
    # compute
    selective_fraction: float
    fp8_gain: float
    moe_efficiency: float
    # memory-bound work
    loss_bytes: float
    fused_loss_share: float
    plain_block_share: float
    fused_elementwise_share: float
    compiled_elementwise_share: float
    fp32_stream_bytes: float
    int8_stream_bytes: float
    eager_bytes_per_score: float
    cast_bytes: float
    bandwidth_efficiency: float
    # launch floor
    floor_power: float
    full_launch_share: float
    fsdp_launch_share: float
    fsdp_adapter_launch_share: float
    zero3_launch_share: float
    expert_launch_share: float
    compiled_launch_share: float
    # quantised weights and adapters
    dequantisation_bytes: float
    single_quant_share: float
    int8_bytes: float
    dora_bytes: float
    adapter_bytes: float
    adapter_cast_bytes: float
    # optimizer
    optimizer_bytes: Floats
    pure_optimizer_share: float
    optimizer_launch_s: float
    paged_share: float
    # links
    nvlink_efficiency: float
    pcie_efficiency: float
    host_link_efficiency: float
    network_efficiency: float
    assumed_network_bytes_per_s: float
    fast_network_bytes_per_s: float
    assumed_link_bytes_per_s: float
    assumed_pcie_bytes_per_s: float
    collective_latency_s: float
    hop_latency_s: float
    overlap: float
    # waiting: for the GPU with the longest rows, for the loader
    row_spread: float
    data_tokens_per_s: float
    # offload
    host_update_params_per_s: float
    nvme_bytes_per_s: float
    # generation of rollouts: PPO only
    decode_bandwidth_efficiency: float
    decode_launch_s: float
    ppo_epochs: float
    # uncertainty: standard deviation of the logarithm of speed, added in quadrature
    sigma: SpeedSigma
    # duration
    duration: DurationConstants


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedSigma:
    """Standard deviations of log speed that add in quadrature to the one of the stack and of the architecture.

    Those of memory, launch, dequantisation, interconnect, pcie_sharded and offload count by the share of the step that
    the part takes.
    """

    unknown_stack: float
    several_gpus: float
    several_nodes: float
    pcie_sharded: float
    moe: float
    dpo: float
    ppo: float
    offload: float
    int8: float
    dora: float
    eager: float
    fp8: float
    padded: float
    memory: float
    launch: float
    dequantisation: float
    interconnect: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationConstants:
    """What a run takes beside training; `fixed_sigma` is the standard deviation of the logarithm of the fixed part."""

    setup_s: float
    download_bytes_per_s: float
    load_bytes_per_s: float
    checkpoint_bytes_per_s: float
    small_checkpoint_bytes_per_s: float
    checkpoint_share: float
    checkpoint_least_s: float
    checkpoint_state_bytes: float
    fixed_sigma: float


_STACK_TABLES = ("matrix_efficiency", "elementwise_bytes", "launch_s", "attention_weight", "stack_sigma")
_ARCHITECTURE_TABLES = (
    "sustained_share", "attention_share", "flops_per_joule", "architecture_factor", "architecture_sigma",
)  # fmt: skip


def load_speed_constants(path: Path | None = None) -> SpeedConstants:
    """Return the constants of the time model, from `path` or from the table that ships with the package.

    Raises JobError naming the file and the key that is missing, unknown or no number.
    """
    name = str(path) if path else "speed.toml"
    text = path.read_text("utf-8") if path else _shipped("speed.toml")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise JobError(where=name, key="(whole file)", value=str(err), allowed="valid TOML") from err
    return _Reader(name, document).constants()


def _shipped(name: str) -> str:
    return (files(__package__) / "data" / name).read_text("utf-8")


class _Reader:
    """Turns the parsed TOML into constants, naming file and key in every complaint."""

    def __init__(self, name: str, document: dict[str, object]) -> None:
        self._name = name
        self._document = document

    def constants(self) -> SpeedConstants:
        columns = {key: self._column(key, tuple(Stack)) for key in _STACK_TABLES}
        columns |= {key: self._column(key, ARCHITECTURES) for key in _ARCHITECTURE_TABLES}
        columns["optimizer_bytes"] = self._column("optimizer_bytes", tuple(Optimizer))
        names = {field.name for field in fields(SpeedConstants)} - {*columns, "sigma", "duration"}
        singles = {name: self._number(name) for name in names}
        sigma = {field.name: self._number(f"sigma.{field.name}") for field in fields(SpeedSigma)}
        duration = {field.name: self._number(f"duration.{field.name}") for field in fields(DurationConstants)}
        return SpeedConstants(
            **columns,  # type: ignore[arg-type]  # mypy cannot tell the fields of a ** mapping apart
            **singles,  # type: ignore[arg-type]
            sigma=SpeedSigma(**sigma),
            duration=DurationConstants(**duration),
        )

    def _entry(self, key: str) -> dict[str, object]:
        found: object = self._document
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise JobError(where=self._name, key=key, value=None, allowed="a table with value, unit and origin")
        return found

    def _number(self, key: str) -> float:
        return self._checked(key, self._entry(key).get("value"))

    def _column(self, key: str, names: tuple[str, ...]) -> Floats:
        values = self._entry(key).get("values")
        if not isinstance(values, dict) or set(values) != set(names):
            allowed = f"one number for each of {', '.join(names)}"
            raise JobError(where=self._name, key=f"{key}.values", value=values, allowed=allowed)
        return np.array([self._checked(f"{key}.values.{name}", values[name]) for name in names])

    def _checked(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise JobError(where=self._name, key=key, value=value, allowed="a number, zero or positive")
        return float(value)
