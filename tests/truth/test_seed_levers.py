"""The levers, sizing heuristics and drivers of the cost-benefit document hold in the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from optimizer.physics.axes import Attention, Checkpointing, Offload, Optimizer, Precision, Sharding, Stack, Tuning
from optimizer.physics.duration import estimate_duration
from optimizer.physics.memory import estimate_memory
from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.recipe import Recipe
from optimizer.physics.speed_constants import load_speed_constants
from optimizer.physics.tabulate import Machine, tabulate
from optimizer.physics.throughput import estimate_throughput
from optimizer.workload.job import Overheads
from optimizer.workload.matrices import load_matrices
from optimizer.workload.models import load_models
from providers.gpus import load_gpus

if TYPE_CHECKING:
    from optimizer.physics.results import MemoryColumns, ThroughputColumns
    from optimizer.physics.runs import Runs

GIB = 2**30
MODELS = load_models()
GPUS = load_gpus().by_id
LORA = Recipe(
    tuning=Tuning.LORA, stack=Stack.HF, stack_known=True, attention=Attention.FLASH, micro_batch=2, grad_accum=8,
    seq_len=2048,
)  # fmt: skip
QLORA = replace(LORA, bits=4)
FULL = replace(LORA, tuning=Tuning.FULL, precision=Precision.BF16_PURE)


def runs_of(*recipes: Recipe, model: str = "llama-2-7b", gpu: str = "A100-SXM-80GB", gpus: int = 1) -> Runs:
    machine = Machine(gpu=GPUS[gpu], gpu_count=gpus, host_ram_bytes=2048 * GIB)
    return tabulate([(MODELS.resolve(model), recipe, machine) for recipe in recipes])


def memory_of(*recipes: Recipe, model: str = "llama-2-7b", gpu: str = "A100-SXM-80GB", gpus: int = 1) -> MemoryColumns:
    return estimate_memory(runs_of(*recipes, model=model, gpu=gpu, gpus=gpus), load_memory_constants())


def speed_of(*recipes: Recipe, gpu: str = "A100-SXM-80GB") -> ThroughputColumns:
    return estimate_throughput(runs_of(*recipes, gpu=gpu), load_speed_constants())


def fits(recipe: Recipe, *, model: str, gpu: str, gpus: int = 1) -> bool:
    """Whether the high end of what is required, in loading and in training, stays within what the card has."""
    memory = memory_of(recipe, model=model, gpu=gpu, gpus=gpus)
    needed = max(float(memory.required.high[0]), float(memory.load_required.high[0]))
    return needed <= GPUS[gpu].usable_bytes


@pytest.mark.parametrize("recipe", [LORA, QLORA, FULL], ids=["lora", "qlora", "full"])
def test_checkpointing_is_less_memory_and_less_speed_per_step(recipe: Recipe) -> None:
    pair = (replace(recipe, checkpointing=Checkpointing.NONE), recipe)
    without, with_it = memory_of(*pair).allocated.expected
    assert with_it < without
    slow, fast = speed_of(*reversed(pair)).tokens_per_s.expected
    assert slow < fast
    assert 1.1 < fast / slow < 1.6  # theory: 4/3 for full, 3/2 for adapters


def test_checkpointing_frees_room_for_a_batch_that_would_not_fit() -> None:
    large = replace(LORA, micro_batch=8, seq_len=4096)
    assert not fits(replace(large, checkpointing=Checkpointing.NONE), model="llama-2-7b", gpu="A100-SXM-80GB")
    assert fits(large, model="llama-2-7b", gpu="A100-SXM-80GB")


def test_packing_trains_more_real_tokens_per_second() -> None:
    padded = replace(LORA, padding_factor=3.0)
    packed = replace(LORA, packing=True)
    slow, fast = speed_of(padded, packed).tokens_per_s.expected
    assert fast / slow == pytest.approx(3.0, rel=0.2)


def test_flash_attention_needs_less_memory_than_eager_and_is_not_slower() -> None:
    kinds = [replace(LORA, seq_len=4096, attention=kind) for kind in (Attention.FLASH, Attention.SDPA, Attention.EAGER)]
    flash, sdpa, eager = memory_of(*kinds).allocated.expected
    assert flash <= sdpa < eager
    fast, middle, slow = speed_of(*kinds).tokens_per_s.expected
    assert fast >= middle >= slow


def test_memory_falls_with_the_width_of_the_weights() -> None:
    widths = [replace(LORA, bits=bits) for bits in (16, 8, 4)]
    sixteen, eight, four = memory_of(*widths).parts["weights"]
    assert four < eight < sixteen
    linear = MODELS.resolve("llama-2-7b").linear_params
    assert (sixteen - eight) / linear == pytest.approx(1.0, rel=0.1)
    totals = memory_of(*widths).allocated.expected
    assert totals[2] < totals[1] < totals[0]


def test_4_bit_costs_little_compute_and_16_bit_is_the_fastest() -> None:
    fast, eight, four = speed_of(
        *(replace(LORA, bits=bits, micro_batch=4) for bits in (16, 8, 4))
    ).tokens_per_s.expected
    assert fast > four
    assert fast > eight
    assert 1.0 < fast / four < 1.35


def test_the_4_bit_overhead_is_paid_per_micro_step_and_fades_with_tokens() -> None:
    ratio = []
    for tokens in (256, 8192):
        both = (replace(LORA, micro_batch=1, seq_len=tokens), replace(QLORA, micro_batch=1, seq_len=tokens))
        plain, quantised = speed_of(*both).tokens_per_s.expected
        ratio.append(plain / quantised)
    assert ratio[0] > ratio[1] > 1.0
    assert ratio[1] < 1.25


@pytest.mark.parametrize("gpu", ["A10G-24GB", "L4-24GB", "RTX-3090-24GB", "RTX-4090-24GB", "RTX-A6000-48GB"])
@pytest.mark.parametrize("model", ["llama-2-7b", "mistral-7b-v0.1"])
def test_qlora_on_7b_fits_one_gpu_of_24_to_48_gb_with_accumulation(model: str, gpu: str) -> None:
    assert fits(replace(QLORA, micro_batch=1, grad_accum=16), model=model, gpu=gpu)


def test_16_bit_lora_on_7b_fits_48_gb() -> None:
    assert fits(replace(LORA, micro_batch=1, grad_accum=16), model="llama-2-7b", gpu="RTX-A6000-48GB")


@pytest.mark.parametrize("model", ["llama-2-7b", "llama-2-13b"])
@pytest.mark.parametrize("gpu", ["RTX-4090-24GB", "L40S-48GB"])
@pytest.mark.parametrize("precision", [Precision.BF16_PURE, Precision.BF16_MIXED])
def test_full_fine_tuning_of_7b_and_13b_does_not_fit_one_24_to_48_gb_gpu(
    model: str, gpu: str, precision: Precision
) -> None:
    assert not fits(replace(FULL, micro_batch=1, seq_len=1024, precision=precision), model=model, gpu=gpu)


@pytest.mark.parametrize(
    ("model", "gpu", "gpus", "sharding", "offload"),
    [
        ("llama-2-7b", "L40S-48GB", 8, Sharding.ZERO2, Offload.NONE),
        ("llama-2-7b", "L40S-48GB", 8, Sharding.ZERO3, Offload.NONE),
        ("llama-2-13b", "L40S-48GB", 8, Sharding.ZERO3, Offload.NONE),
        ("llama-2-7b", "RTX-4090-24GB", 8, Sharding.ZERO3, Offload.NONE),
        ("llama-2-7b", "RTX-4090-24GB", 4, Sharding.ZERO3, Offload.CPU),
        ("llama-2-13b", "RTX-4090-24GB", 8, Sharding.ZERO3, Offload.CPU),
    ],
)
def test_full_fine_tuning_fits_several_24_to_48_gb_gpus_with_zero_or_offload(
    model: str, gpu: str, gpus: int, sharding: Sharding, offload: Offload
) -> None:
    recipe = replace(
        FULL, precision=Precision.BF16_MIXED, sharding=sharding, offload=offload, micro_batch=1, seq_len=1024
    )
    assert fits(recipe, model=model, gpu=gpu, gpus=gpus)


def test_offload_moves_memory_from_the_gpu_to_the_host() -> None:
    sharded = replace(FULL, precision=Precision.BF16_MIXED, sharding=Sharding.ZERO3)
    pair = memory_of(sharded, replace(sharded, offload=Offload.CPU), gpus=4)
    assert pair.allocated.expected[1] < pair.allocated.expected[0]
    assert pair.host.expected[1] > pair.host.expected[0] + 12 * MODELS.resolve("llama-2-7b").total_params * 0.9


def test_sequence_length_and_batch_size_drive_memory_and_speed() -> None:
    lengths = [replace(LORA, micro_batch=1, seq_len=tokens) for tokens in (512, 2048, 8192)]
    batches = [replace(LORA, seq_len=512, micro_batch=size) for size in (1, 4, 16)]
    for recipes in (lengths, batches):
        assert np.all(np.diff(memory_of(*recipes).allocated.expected) > 0)
    assert np.all(np.diff(speed_of(*batches).tokens_per_s.expected) > 0)
    short, _, long = speed_of(*lengths).tokens_per_s.expected
    assert short < long


def test_accumulation_reaches_a_batch_without_the_memory() -> None:
    at_once, accumulated = memory_of(
        replace(QLORA, micro_batch=16, grad_accum=1), replace(QLORA, micro_batch=1, grad_accum=16)
    ).allocated.expected
    assert accumulated < 0.6 * at_once


def test_the_optimizer_decides_the_bytes_of_state() -> None:
    kinds = (Optimizer.ADAMW, Optimizer.ADAMW_8BIT, Optimizer.SGD)
    adamw, eight_bit, sgd = memory_of(
        *(replace(FULL, micro_batch=1, optimizer=kind) for kind in kinds)
    ).allocated.expected
    assert sgd < eight_bit < adamw


def test_writing_checkpoints_more_often_lengthens_the_run() -> None:
    runs = runs_of(LORA)
    constants = load_speed_constants()
    throughput = estimate_throughput(runs, constants)
    often, seldom = (
        estimate_duration(
            runs=runs,
            throughput=throughput,
            tokens=50e6,
            overheads=Overheads(checkpoint_every_s=every),
            constants=constants,
        )
        for every in (300.0, 3600.0)
    )
    assert often.parts_s["checkpoints"][0] > seldom.parts_s["checkpoints"][0]
    assert often.total.expected[0] > seldom.total.expected[0]
    assert often.parts_s["train"][0] == seldom.parts_s["train"][0]


def test_the_vram_cells_of_the_matrix_are_in_the_order_of_the_model() -> None:
    qlora, lora, full = memory_of(QLORA, LORA, FULL).allocated.expected
    assert qlora < lora < full
    matrices = load_matrices()
    cells = [matrices.level(matrices.tradeoffs, "VRAM", column) for column in ("qlora", "lora", "full")]
    assert cells == sorted(cells)


def test_every_rule_of_thumb_is_held_here() -> None:
    rules = load_matrices().rules
    assert {rule.held_by for rule in rules} == {"tests/truth/test_seed_levers.py"}
