"""A toy model, recipe and machine with round figures, and constants that make every formula computable by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from optimizer.physics.axes import Optimizer, Stack
from optimizer.physics.runs import ARCHITECTURES, MachineColumns, ModelColumns, RecipeColumns, Runs
from optimizer.physics.speed_constants import SpeedConstants, load_speed_constants

RunsMaker = Callable[..., Runs]
ConstantsMaker = Callable[..., SpeedConstants]

MODEL = {
    "layers": 2.0, "hidden": 10.0, "intermediate": 30.0, "gated_mlp": True, "heads": 2.0, "kv_heads": 1.0,
    "head_dim": 5.0, "vocab": 100.0, "experts": 0.0, "top_k": 0.0, "linear_params": 4000.0,
    "active_linear_params": 4000.0, "embedding_params": 1000.0, "head_params": 1000.0, "other_params": 40.0,
    "block_params": 2000.0, "published_bytes_per_param": 2.0,
}  # fmt: skip
RECIPE = {
    "tuning": 1, "objective": 0, "bits": 16, "double_quant": True, "precision": 0, "trainable_params": 200.0,
    "adapter_inputs": 20.0, "adapter_outputs": 30.0, "lora_rank": 2.0, "trains_embeddings": False, "optimizer": 0,
    "loss": 0, "attention": 0, "checkpointing": 0, "compiled": False, "sharding": 0, "offload": 0, "stack": 0,
    "stack_known": True, "fused_kernels": False, "micro_batch": 2.0, "grad_accum": 1.0, "seq_len": 50.0,
    "packing": True, "padding_factor": 1.0, "variable_length": False, "prompt_tokens": 0.0, "response_tokens": 0.0,
    "reward_params": 0.0, "kbit_preparation": 0, "row_tokens": np.nan,
}  # fmt: skip
MACHINE = {
    "usable_bytes": 1e9, "peak_flops_per_s": 1e6, "fp8_flops_per_s": np.nan, "memory_bandwidth_bytes_per_s": 1e5,
    "architecture": ARCHITECTURES.index("ampere"), "supports_bf16": True, "gpu_count": 1.0, "nodes": 1.0,
    "nvlink": True, "link_bytes_per_s": 1e4, "pcie_bytes_per_s": 1e3, "network_bytes_per_s": 500.0,
    "host_ram_bytes": 1e9, "disk_bytes": 1e9, "watts": np.nan,
}  # fmt: skip
DTYPES = {"Floats": np.float64, "Ints": np.int64, "Bools": np.bool_, "Codes": np.int8}


def _columns(cls: type, defaults: dict[str, object], changes: dict[str, object]) -> object:
    values = {**defaults, **{name: value for name, value in changes.items() if name in defaults}}
    return cls(
        **{
            field.name: np.atleast_1d(np.asarray(values[field.name], dtype=DTYPES[str(field.type)]))
            for field in fields(cls)
            if field.name in values
        }
    )


@pytest.fixture
def make_runs() -> RunsMaker:
    """Return a function that makes runs of the toy; any column may be given by name, as a number or a list."""

    def make(**changes: object) -> Runs:
        unknown = set(changes) - {*MODEL, *RECIPE, *MACHINE}
        assert not unknown, unknown
        return Runs(
            model=_columns(ModelColumns, MODEL, changes),  # type: ignore[arg-type]
            recipe=_columns(RecipeColumns, RECIPE, changes),  # type: ignore[arg-type]
            machine=_columns(MachineColumns, MACHINE, changes),  # type: ignore[arg-type]
        )

    return make


@pytest.fixture(scope="session")
def shipped() -> SpeedConstants:
    """Return the constants that ship with the package."""
    return load_speed_constants()


@pytest.fixture
def make_constants(shipped: SpeedConstants) -> ConstantsMaker:
    """Return a function that makes round constants: nothing costs anything but what a test asks for."""
    per_stack, per_architecture = np.ones(len(Stack)), np.ones(len(ARCHITECTURES))
    nothing = {
        field.name: 0.0
        for field in fields(SpeedConstants)
        if field.name.endswith(("_bytes", "_s", "_sigma")) and isinstance(getattr(shipped, field.name), float)
    }
    neutral: dict[str, object] = {
        **nothing,
        "matrix_efficiency": per_stack * 0.5, "elementwise_bytes": per_stack * 0.0, "launch_s": per_stack * 0.0,
        "attention_weight": per_stack, "architecture_factor": per_architecture,
        "attention_share": per_architecture * 0.5, "data_tokens_per_s": 1e30, "row_spread": 0.0,
        "sustained_share": per_architecture, "flops_per_joule": per_architecture * 1e30, "int8_bytes": 0.0,
        "optimizer_bytes": np.zeros(len(Optimizer)), "bandwidth_efficiency": 1.0, "floor_power": 3.0,
        "nvlink_efficiency": 1.0, "pcie_efficiency": 1.0, "host_link_efficiency": 1.0,
        "network_efficiency": 1.0, "overlap": 0.0,
        "moe_efficiency": 1.0, "fp8_gain": 1.0, "selective_fraction": 0.5,
        "assumed_network_bytes_per_s": 100.0, "fast_network_bytes_per_s": 800.0,
        "assumed_link_bytes_per_s": 200.0, "assumed_pcie_bytes_per_s": 300.0, "host_update_params_per_s": 1e12,
        "nvme_bytes_per_s": 1e12, "decode_bandwidth_efficiency": 1.0, "ppo_epochs": 4.0, "paged_share": 0.0,
    }  # fmt: skip

    def make(**changes: object) -> SpeedConstants:
        return replace(shipped, **{**neutral, **changes})  # type: ignore[arg-type]

    return make
