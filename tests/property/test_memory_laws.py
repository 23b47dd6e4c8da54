"""What must hold of memory whatever the model and the recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from optimizer.physics.activations import activation_columns
from optimizer.physics.axes import (
    Attention,
    Checkpointing,
    Loss,
    Objective,
    Offload,
    Optimizer,
    Precision,
    Sharding,
    Stack,
    Tuning,
)
from optimizer.physics.memory import estimate_memory
from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.recipe import Recipe
from optimizer.physics.switches import switches
from optimizer.physics.tabulate import Machine, tabulate
from optimizer.workload.model_spec import ModelSpec
from providers.gpus import load_gpus

if TYPE_CHECKING:
    from optimizer.physics.results import MemoryColumns

CONSTANTS = load_memory_constants()
GPU = load_gpus().by_id["A100-SXM-80GB"]
ACTIVATIONS = ("saved", "live", "scores")
SHARDED = (Sharding.ZERO3, Sharding.FSDP)

QUICK = settings(max_examples=60, deadline=None)


@st.composite
def models(draw: st.DrawFn) -> ModelSpec:
    heads = draw(st.sampled_from([1, 2, 8, 32]))
    head_dim = draw(st.sampled_from([64, 128]))
    experts = draw(st.sampled_from([0, 0, 8]))
    return ModelSpec(
        name="drawn",
        hf_id="nobody/drawn",
        layers=draw(st.integers(1, 80)),
        hidden=heads * head_dim,
        intermediate=heads * head_dim * draw(st.integers(1, 4)),
        heads=heads,
        kv_heads=draw(st.sampled_from([1, heads])),
        head_dim=head_dim,
        vocab=draw(st.sampled_from([1_000, 32_000, 128_256])),
        tied_embeddings=draw(st.booleans()),
        context=8_192,
        moe_experts=experts,
        moe_top_k=2 if experts else 0,
    )


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    tuning = draw(st.sampled_from(Tuning))
    objective = draw(st.sampled_from(Objective))
    tokens = 0 if objective is Objective.SFT else 100
    return Recipe(
        tuning=tuning,
        bits=16 if tuning is Tuning.FULL else draw(st.sampled_from([16, 8, 4])),
        objective=objective,
        precision=draw(st.sampled_from(Precision)),
        lora_rank=draw(st.sampled_from([1, 8, 64])),
        optimizer=draw(st.sampled_from(Optimizer)),
        loss=draw(st.sampled_from(Loss)),
        attention=draw(st.sampled_from(Attention)),
        checkpointing=draw(st.sampled_from(Checkpointing)),
        compiled=draw(st.booleans()),
        sharding=draw(st.sampled_from(Sharding)),
        stack=draw(st.sampled_from(Stack)),
        stack_known=draw(st.booleans()),
        fused_kernels=draw(st.booleans()),
        double_quant=draw(st.booleans()),
        micro_batch=draw(st.integers(1, 32)),
        grad_accum=draw(st.sampled_from([1, 4])),
        seq_len=draw(st.sampled_from([64, 512, 4_096])),
        variable_length=draw(st.booleans()),
        prompt_tokens=tokens,
        response_tokens=tokens,
        reward_params=10_000 if objective is Objective.PPO else 0,
        kbit_preparation=draw(st.sampled_from([None, True, False])),
        modules_to_save=() if tuning is Tuning.FULL else draw(st.sampled_from([(), ("embed_tokens",)])),
        fused_optimizer=draw(st.sampled_from([None, True, False])),
        optimizer_in_backward=draw(st.booleans()),
        activation_offload=draw(st.booleans()),
    )


def memory(model: ModelSpec, *rows: tuple[Recipe, int]) -> MemoryColumns:
    return estimate_memory(
        tabulate([(model, recipe, Machine(gpu=GPU, gpu_count=gpus)) for recipe, gpus in rows]), CONSTANTS
    )


def rises(values: np.ndarray) -> bool:
    return bool(np.all(np.diff(values) >= -1e-6 * np.abs(values[:-1])))


@given(models(), recipes(), st.sampled_from([1, 2, 8]))
@QUICK
def test_parts_sum_and_readings_are_ordered(model: ModelSpec, recipe: Recipe, gpus: int) -> None:
    columns = memory(model, (recipe, gpus))
    total = sum(values[0] for values in columns.parts.values())
    assert total == columns.allocated.expected[0]
    assert sum(values[0] for values in columns.load_parts.values()) == columns.load_peak.expected[0]
    assert all(values[0] >= 0 for values in (*columns.parts.values(), *columns.load_parts.values()))
    readings = [columns.load_peak, columns.allocated, columns.reserved, columns.device, columns.required]
    for reading in (*readings, columns.load_required, columns.host, columns.nvme):
        assert reading.low[0] <= reading.expected[0] <= reading.high[0]
        assert np.isfinite(reading.high[0])
    allocated, reserved, device = (reading.expected[0] for reading in (readings[1], readings[2], readings[3]))
    if device < GPU.usable_bytes:
        assert allocated <= reserved * (1 + 1e-12)
        assert reserved <= device
    assert device <= GPU.usable_bytes
    assert columns.required.expected[0] > allocated


@given(models(), recipes(), st.sampled_from([1, 4]))
@QUICK
def test_a_larger_batch_never_needs_less(model: ModelSpec, recipe: Recipe, gpus: int) -> None:
    wider = [(replace(recipe, micro_batch=size), gpus) for size in (1, 2, 5, 16)]
    longer = [(replace(recipe, seq_len=size), gpus) for size in (64, 100, 1_000, 8_000)]
    for rows in (wider, longer):
        columns = memory(model, *rows)
        assert rises(columns.allocated.expected)
        assert rises(columns.required.expected)
        # Fit is decided at the high end: it must not fall where the peak moves to another moment.
        assert rises(columns.required.high)
        assert rises(columns.host.expected)


@given(models(), recipes(), st.sampled_from([1, 4]))
@QUICK
def test_a_lever_never_needs_more_of_the_gpu(model: ModelSpec, recipe: Recipe, gpus: int) -> None:
    for lever in ("fused_optimizer", "optimizer_in_backward", "activation_offload"):
        columns = memory(model, (replace(recipe, **{lever: True}), gpus), (replace(recipe, **{lever: False}), gpus))
        assert rises(columns.allocated.expected)
        assert rises(columns.required.expected)


@given(models(), recipes())
@QUICK
def test_narrower_weights_are_never_heavier(model: ModelSpec, recipe: Recipe) -> None:
    adapters = replace(recipe, tuning=Tuning.LORA, kbit_preparation=False, precision=Precision.BF16_PURE)
    weights = memory(model, *((replace(adapters, bits=bits), 1) for bits in (4, 8, 16))).parts["weights"]
    assert rises(weights)


@given(models(), recipes(), st.sampled_from(SHARDED))
@QUICK
def test_more_gpus_never_mean_more_state(model: ModelSpec, recipe: Recipe, sharding: Sharding) -> None:
    sharded = replace(recipe, sharding=sharding, grad_accum=1)
    columns = memory(model, *((sharded, gpus) for gpus in (8, 4, 2)))
    for name in ("weights", "adapters", "master_weights", "optimizer_state", "model_copies", "value_model"):
        assert rises(columns.parts[name])
    assert rises(columns.allocated.expected)


@given(models(), recipes(), st.sampled_from([1, 2]))
@QUICK
def test_checkpointing_never_needs_more(model: ModelSpec, recipe: Recipe, gpus: int) -> None:
    order = (Checkpointing.FULL, Checkpointing.SELECTIVE, Checkpointing.NONE)
    columns = memory(model, *((replace(recipe, checkpointing=kind), gpus) for kind in order))
    assert rises(columns.allocated.expected)


@given(models(), recipes(), st.sampled_from([Sharding.ZERO2, *SHARDED]), st.sampled_from([2, 8]))
@QUICK
def test_offload_never_needs_more_of_the_gpu(model: ModelSpec, recipe: Recipe, sharding: Sharding, gpus: int) -> None:
    at_home = replace(recipe, sharding=sharding)
    columns = memory(model, (replace(at_home, offload=Offload.CPU), gpus), (at_home, gpus))
    assert rises(columns.allocated.expected)
    assert rises(columns.load_peak.expected)
    assert columns.host.expected[0] >= columns.host.expected[1]


@given(models(), recipes(), st.sampled_from(SHARDED))
@QUICK
def test_on_one_gpu_sharding_never_needs_less_than_none(model: ModelSpec, recipe: Recipe, sharding: Sharding) -> None:
    kinds = (Sharding.NONE, sharding)
    columns = memory(model, *((replace(recipe, sharding=kind), 1) for kind in kinds))
    for reading in (columns.load_peak, columns.load_required, columns.allocated):
        assert rises(reading.expected)
    # DeepSpeed holds fp32 masters where a mixed full run has fp32 gradients that come and go: less to fragment, and
    # more that is certain.
    if recipe.tuning is not Tuning.FULL or sharding is Sharding.FSDP:
        assert rises(columns.required.expected)
        assert rises(columns.required.high)
        assert rises(columns.load_required.high)


@given(models(), recipes(), st.sampled_from([Sharding.ZERO2, *SHARDED]))
@QUICK
def test_on_one_gpu_offload_moves_state_and_nothing_of_the_batch(
    model: ModelSpec, recipe: Recipe, sharding: Sharding
) -> None:
    rows = (replace(recipe, sharding=Sharding.NONE), replace(recipe, sharding=sharding, offload=Offload.CPU))
    runs = tabulate([(model, row, Machine(gpu=GPU)) for row in rows])
    on = switches(runs)
    assert on.fp32_stream[0] == on.fp32_stream[1]
    batch = activation_columns(runs, on, CONSTANTS)
    for name in batch.__slots__:
        values = np.broadcast_to(getattr(batch, name), (2,))
        assert values[0] == values[1], name


@given(models(), recipes(), st.sampled_from([2, 8]))
@QUICK
def test_zero3_never_loads_less_of_a_kbit_model_than_one_gpu_does(model: ModelSpec, recipe: Recipe, gpus: int) -> None:
    narrow = replace(recipe, tuning=Tuning.LORA, bits=4, sharding=Sharding.ZERO3, kbit_preparation=False)
    columns = memory(model, (replace(narrow, sharding=Sharding.NONE), 1), (narrow, gpus))
    assert rises(columns.load_parts["weights"])


@given(models(), recipes(), st.sampled_from([1, 4]))
@QUICK
def test_an_unknown_stack_widens_and_does_not_shift(model: ModelSpec, recipe: Recipe, gpus: int) -> None:
    rows = [(replace(recipe, stack_known=known), gpus) for known in (True, False)]
    columns = memory(model, *rows)
    assert columns.allocated.expected[0] == columns.allocated.expected[1]
    assert columns.allocated.low[0] > columns.allocated.low[1]
    assert columns.required.high[0] < columns.required.high[1]


@given(models(), st.lists(recipes(), min_size=2, max_size=6))
@QUICK
def test_rows_do_not_know_of_each_other(model: ModelSpec, drawn: list[Recipe]) -> None:
    together = memory(model, *((recipe, 2) for recipe in drawn))
    for index, recipe in enumerate(drawn):
        alone = memory(model, (recipe, 2))
        assert alone.required.high[0] == together.required.high[index]
        assert alone.device.low[0] == together.device.low[index]
