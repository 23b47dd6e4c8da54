"""A toy model, an invented GPU and round constants: numbers that can be worked out by hand in the memory tests."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from optimizer.physics.axes import Loss, Precision, Stack
from optimizer.physics.memory import estimate_memory
from optimizer.physics.memory_constants import (
    ActivationConstants,
    CommunicationConstants,
    HostConstants,
    LogitConstants,
    MemoryConstants,
    OptimizerConstants,
    OverheadConstants,
    SigmaConstants,
    WeightConstants,
)
from optimizer.physics.recipe import Recipe
from optimizer.physics.tabulate import Machine, tabulate
from optimizer.workload.model_spec import ModelSpec
from providers.basis import Basis
from providers.gpus import Gpu

if TYPE_CHECKING:
    from optimizer.physics.results import MemoryColumns
    from optimizer.physics.runs import Runs

LINEAR, EMBEDDING, HEAD, OTHER = 1_152, 800, 800, 40
TOTAL = LINEAR + EMBEDDING + HEAD + OTHER
BLOCK = 576 + 16
"""Two layers of hidden 8: q 64, k 32, v 32, o 64, gate, up and down 128 each; two norms of 8 a block, one last."""

TOY = ModelSpec(
    name="toy",
    hf_id="nobody/toy",
    layers=2,
    hidden=8,
    intermediate=16,
    heads=2,
    kv_heads=1,
    head_dim=4,
    vocab=100,
    tied_embeddings=False,
    context=64,
)

DEEP = replace(TOY, layers=20)
"""So many blocks that what is gathered is small beside the state."""
DEEP_TOTAL = 20 * BLOCK + EMBEDDING + HEAD + 8

GPU = Gpu(
    id="INVENTED-1MB",
    vendor="nvidia",
    chip="invented",
    form_factor="SXM",
    architecture="ampere",
    memory_nameplate_gb=0.001,
    usable_bytes=1_000_000,
    usable_basis=Basis.ASSUMED,
    memory_bandwidth_bytes_per_s=1e12,
    bf16_flops_per_s=1e14,
    fp16_flops_per_s=1e14,
    fp8_flops_per_s=None,
    int8_ops_per_s=None,
    tf32_flops_per_s=None,
    fp32_flops_per_s=1e13,
    link_kind="nvlink",
    link_bytes_per_s=1e11,
    pcie_bytes_per_s=1e10,
    compute_capability="8.0",
    supports_bf16=True,
    supports_fp8=False,
    trainable=True,
    source="invented",
    notes="",
)

ROUND = MemoryConstants(
    weights=WeightConstants(nf4_bytes=0.5625, nf4_double_bytes=0.5, int8_bytes=1.0, int8_row_scale_bytes=4.0),
    optimizer=OptimizerConstants(
        moment_count=2, eight_bit_bytes=2.5, factored_bytes_per_row=8, largest_tensor_temporaries=2
    ),
    activations=ActivationConstants(
        live_hidden=30,
        live_intermediate=7,
        live_intermediate_plain=4,
        live_adapter_fused=1,
        live_adapter_plain=3,
        live_fp32_factor=1.5,
        live_moe_factor=0.5,
        live_unsloth_factor=0.25,
        block_sharded_adapter_factor=3,
        kept_norm=42,
        kept_norm_lean=40,
        kept_gated=50,
        kept_gated_lean=45,
        kept_plain=30,
        kept_adapter_factor=0.9,
        kept_compiled_factor=0.8,
        kept_selective_factor=0.5,
        score_bytes_live=11,
        score_bytes_kept=13,
        dora_bytes_per_output=5,
        dora_weight_copies=3,
        dequantisation_slack=0.125,
    ),
    logits=LogitConstants(
        standard_vocab=14,
        half_vocab=8,
        autocast_vocab=16,
        litgpt_vocab=6,
        standard_hidden=6,
        triton_vocab=8,
        triton_vocab_lean=5,
        triton_hidden=4,
        fused_vocab=0,
        chunked_vocab=3,
        fused_hidden=2,
        fp32_factor=1.5,
        compiled_factor=0.5,
        reference_vocab=9,
    ),
    communication=CommunicationConstants(
        nccl_bytes=700, zero_bucket_elements=1_000, zero_bucket_copies=2, zero3_live_elements=1_000
    ),
    overhead=OverheadConstants(
        context_bytes=5_000,
        fragmentation=0.125,
        fragmentation_sharded=0.25,
        fragmentation_variable=0.5,
        slack_fused=1.1,
        slack_fused_sharded=1.2,
        slack_triton_small=1.3,
        slack_triton_small_sharded=1.4,
        slack_triton_large=1.5,
        slack_triton_large_sharded=1.6,
        slack_standard=1.7,
        slack_standard_sharded=1.8,
        slack_variable=2,
        large_vocab=1_000,
        full_sum=1.0,
        full_sum_sharded=1.25,
        loss_slack_from=0.9,
        load_slack=1.5,
    ),
    host=HostConstants(process_bytes=30_000, staging_bytes=2_000, pinned_factor=1.5, nvme_buffer_bytes=9_000),
    sigma=SigmaConstants(**{field.name: 0.0 for field in fields(SigmaConstants)}),
)


def runs_of(*, model: ModelSpec = TOY, gpus: int = 1, nodes: int = 1, **recipe: object) -> Runs:
    """Return one run as columns: pure bf16, fused loss, four tokens, the stack known, unless said otherwise."""
    chosen = {
        "precision": Precision.BF16_PURE,
        "loss": Loss.FUSED,
        "seq_len": 4,
        "lora_rank": 2,
        "stack": Stack.HF,
        "stack_known": True,
        **recipe,
    }
    machine = Machine(gpu=GPU, gpu_count=gpus, nodes=nodes)
    return tabulate([(model, Recipe(**chosen), machine)])  # type: ignore[arg-type]


def memory_of(
    *, constants: MemoryConstants = ROUND, model: ModelSpec = TOY, gpus: int = 1, nodes: int = 1, **recipe: object
) -> MemoryColumns:
    """Return the memory of one run with the round constants."""
    return estimate_memory(runs_of(model=model, gpus=gpus, nodes=nodes, **recipe), constants)


def parts_of(*, gpus: int = 1, nodes: int = 1, model: ModelSpec = TOY, **recipe: object) -> dict[str, float]:
    """Return the non-zero parts of the training peak of one run, in bytes."""
    columns = memory_of(model=model, gpus=gpus, nodes=nodes, **recipe)
    return {name: float(values[0]) for name, values in columns.parts.items() if values[0]}


def with_sigma(**sigma: float) -> MemoryConstants:
    """Return the round constants with some standard deviations set."""
    return replace(ROUND, sigma=replace(ROUND.sigma, **sigma))
