"""The columns that physics works on: n training runs side by side, never an object per run.

Every array has shape (n,) or (1,) (a value common to all runs) and NumPy broadcasting joins them. Bytes, seconds,
FLOP, float64 unless said otherwise; NaN is unknown. Enums are int8 codes (`axes.code`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .axes import Codes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Columns = TypeVar("Columns", "ModelColumns", "RecipeColumns", "MachineColumns")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelColumns:
    """Shape of the model: counts of parameters by role, and the widths that activations have."""

    layers: Floats
    hidden: Floats
    intermediate: Floats
    """Width of the MLP activation per token: dense width, or top_k x expert width + shared experts."""
    gated_mlp: Bools
    heads: Floats
    kv_heads: Floats
    head_dim: Floats
    vocab: Floats
    experts: Floats
    """Routed experts per MoE layer; 0 for a dense model."""
    top_k: Floats
    linear_params: Floats
    """Parameters in the linear layers of the blocks (what k-bit loading quantises), all experts included."""
    active_linear_params: Floats
    """The part of them that one token passes through."""
    embedding_params: Floats
    head_params: Floats
    """Output head parameters; 0 when tied to the embedding (the matrix product is still computed)."""
    other_params: Floats
    """Norms, biases, position tables, routers: never quantised."""
    block_params: Floats
    """Parameters of the largest block: what a sharded run gathers at once."""
    published_bytes_per_param: Floats = field(default_factory=lambda: np.full(1, 2.0))
    """Bytes per parameter of the published checkpoint: 2 in 16 bits, about 1 in FP8."""
    half_loss: Bools = field(default_factory=lambda: np.zeros(1, dtype=np.bool_))
    """The loss is computed in the type of the logits unless autocast widens it: GPT-2, NeoX, OPT, Falcon, Qwen 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeColumns:
    """How the run is done. `bits` is the width at which frozen linear weights are held (16, 8, 4)."""

    tuning: Codes
    objective: Codes
    bits: Ints
    double_quant: Bools
    precision: Codes
    trainable_params: Floats
    """Adapter parameters; for full fine-tuning all parameters."""
    adapter_inputs: Floats
    """Sum over the adapted linear layers of one block of in_features (elements kept per token for the adapter's
    weight gradient when the base layer keeps none); 0 for full fine-tuning."""
    adapter_outputs: Floats
    """Sum over the adapted linear layers of one block of out_features."""
    lora_rank: Floats
    trains_embeddings: Bools
    optimizer: Codes
    loss: Codes
    attention: Codes
    checkpointing: Codes
    compiled: Bools
    sharding: Codes
    offload: Codes
    stack: Codes
    stack_known: Bools
    """False where the user named no stack and `hf` stands in: intervals widen."""
    fused_kernels: Bools
    """Fused RoPE, norm, adapter or cross-entropy kernels (Unsloth, Liger, foak)."""
    micro_batch: Floats
    grad_accum: Floats
    seq_len: Floats
    """Tokens per sequence as it lies in memory (padded or packed length)."""
    packing: Bools
    padding_factor: Floats
    """Processed tokens per real token, >= 1; 1 when packed or padding-free."""
    variable_length: Bools
    """Batches of varying length: raises reserved and device memory through fragmentation."""
    prompt_tokens: Floats
    response_tokens: Floats
    """DPO and PPO only; 0 for SFT."""
    reward_params: Floats
    """PPO: parameters of the reward model (the value model has the policy's size unless adapters share it)."""
    kbit_preparation: Codes = field(default_factory=lambda: np.array([-1], dtype=np.int8))
    """1: PEFT's k-bit preparation runs (what is not quantised passes through fp32 at load), 0: it does not,
    -1: as the stack does by default (HF on k-bit weights that are not sharded)."""
    row_tokens: Floats = field(default_factory=lambda: np.array([np.nan]))
    """Mean tokens processed per row, padding included; at most seq_len. NaN: every row is seq_len long. Time goes by
    this mean, memory by seq_len."""
    whole_params: Floats = field(default_factory=lambda: np.zeros(1))
    """The part of `trainable_params` of an adapter run that is trained whole (PEFT's modules_to_save)."""
    fused_optimizer: Codes = field(default_factory=lambda: np.array([-1], dtype=np.int8))
    """1: the step is one kernel and takes no copies, 0: it takes them, -1: as the stack does by default."""
    optimizer_in_backward: Bools = field(default_factory=lambda: np.zeros(1, dtype=np.bool_))
    """Each tensor is stepped as its gradient appears: never more than one gradient is alive."""
    activation_offload: Bools = field(default_factory=lambda: np.zeros(1, dtype=np.bool_))
    """What backward needs lies on the host meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineColumns:
    """What it runs on. `gpu_count` is GPUs per node, `nodes` the number of nodes."""

    usable_bytes: Floats
    """What a framework sees of one GPU."""
    peak_flops_per_s: Floats
    """Dense peak of the compute type (bf16 where supported, otherwise fp16)."""
    fp8_flops_per_s: Floats
    memory_bandwidth_bytes_per_s: Floats
    architecture: Codes
    """Index into `ARCHITECTURES`."""
    supports_bf16: Bools
    gpu_count: Floats
    nodes: Floats
    nvlink: Bools
    """True for NVLink, NVSwitch or XGMI inside the node; False for PCIe."""
    link_bytes_per_s: Floats
    """GPU to GPU inside the node, one direction."""
    pcie_bytes_per_s: Floats
    network_bytes_per_s: Floats
    """Per node, one direction; NaN unknown."""
    host_ram_bytes: Floats
    """Per node; NaN unknown."""
    disk_bytes: Floats
    watts: Floats = field(default_factory=lambda: np.array([np.nan]))
    """Board power of one GPU, which bounds the clock that matrix products sustain; NaN unknown."""
    speed_factor: Floats = field(default_factory=lambda: np.ones(1))
    """Measured over modelled speed of the run's stack on this card (`search.calibrated`); 1 where nobody calibrated."""


ARCHITECTURES: tuple[str, ...] = (
    "other", "pascal", "volta", "turing", "ampere", "ampere-consumer", "ada", "ada-consumer", "hopper", "blackwell",
    "blackwell-consumer", "cdna2", "cdna3", "cdna4", "gaudi",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """n runs: model, recipe and machine, joined row by row."""

    model: ModelColumns
    recipe: RecipeColumns
    machine: MachineColumns

    @property
    def count(self) -> int:
        """Number of runs after broadcasting."""
        groups = (self.model, self.recipe, self.machine)
        return max(int(getattr(group, column.name).shape[0]) for group in groups for column in fields(group))

    def take(self, rows: Ints) -> Runs:
        """Return the runs at the given positions (int64, shape (m,))."""
        return Runs(model=_take(self.model, rows), recipe=_take(self.recipe, rows), machine=_take(self.machine, rows))


def _take(columns: Columns, rows: Ints) -> Columns:
    picked = {
        column.name: values if values.shape[0] == 1 else values[rows]
        for column in fields(columns)
        for values in (getattr(columns, column.name),)
    }
    return replace(columns, **picked)
