from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.physics.axes import Checkpointing, Loss, Offload, Precision, Sharding, Tuning
from optimizer.physics.recipe import refusal
from optimizer.physics.tabulate import Machine
from optimizer.search.grid import batch_shapes, build_grid, precision_for, rows_on
from optimizer.search.variants import variants_of
from optimizer.workload.lengths import LengthDistribution
from tests.fixtures.search_world import make_job, tables


def gpu(name):
    return tables().gpus.by_id[name]


def recipes_on(job, machine):
    grid = build_grid(job, variants_of(job))
    rows = rows_on(grid, [machine])
    return [
        grid.recipe(int(rows.base[k]), int(rows.micro_batch[k]), int(rows.grad_accum[k])) for k in range(rows.count)
    ]


@pytest.mark.parametrize(
    ("batch", "gpus", "shapes"),
    [
        (16, 1, [(1, 16), (2, 8), (4, 4), (8, 2), (16, 1)]),
        (16, 8, [(1, 2), (2, 1)]),
        (16, 16, [(1, 1)]),
        (16, 3, []),
        (16, 32, []),
        (12, 2, [(1, 6), (2, 3), (3, 2), (6, 1)]),
        (128, 1, [(1, 128), (2, 64), (4, 32), (8, 16), (16, 8), (32, 4), (64, 2)]),
        (16, 0, []),
    ],
)
def test_batch_shapes(batch, gpus, shapes):
    assert list(batch_shapes(batch, gpus)) == shapes


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("name", ["A100-SXM-80GB", "T4-16GB", "V100-PCIE-16GB"])
def test_every_grid_point_makes_sense_and_keeps_the_global_batch(name, count):
    job = make_job(methods=(), quantization_bits=())
    machine = Machine(gpu=gpu(name), gpu_count=count)
    recipes = recipes_on(job, machine)
    assert recipes
    for recipe in recipes:
        assert refusal(recipe, gpu=machine.gpu, gpus=count) is None
        assert recipe.micro_batch * recipe.grad_accum * count == 16
        assert recipe.precision is precision_for(machine.gpu)
    assert len(set(recipes)) == len(recipes)


def test_nothing_sensible_is_left_out():
    job = make_job(methods=(), quantization_bits=())
    machine = Machine(gpu=gpu("A100-SXM-80GB"), gpu_count=4)
    held = {(r.tuning, r.bits, r.sharding, r.offload, r.checkpointing, r.micro_batch) for r in recipes_on(job, machine)}
    shapes = dict(batch_shapes(16, 4))
    expected = set()
    template = recipes_on(job, machine)[0]
    for tuning in (Tuning.FULL, Tuning.LORA, Tuning.DORA):
        for bits in (16, 8, 4):
            for sharding in Sharding:
                for offload in Offload:
                    if tuning is not Tuning.FULL and sharding in {Sharding.ZERO1, Sharding.ZERO2}:
                        continue
                    if tuning is not Tuning.FULL and offload is Offload.NVME:
                        continue
                    mix = replace(template, tuning=tuning, bits=bits, sharding=sharding, offload=offload)
                    if refusal(mix, gpu=machine.gpu, gpus=4) is None:
                        expected |= {
                            (tuning, bits, sharding, offload, ckpt, size)
                            for ckpt in (Checkpointing.NONE, Checkpointing.FULL)
                            for size in shapes
                        }
    assert held == expected


def test_precision_follows_the_chip():
    assert precision_for(gpu("T4-16GB")) is Precision.FP16_MIXED
    assert precision_for(gpu("H100-SXM-80GB")) is Precision.BF16_MIXED


def test_rows_stand_in_the_order_of_recipe_names_within_a_class():
    job = make_job(methods=(), quantization_bits=())
    names = [recipe.name for recipe in recipes_on(job, Machine(gpu=gpu("A100-SXM-80GB"), gpu_count=2))]
    assert names == sorted(names)


def test_rows_of_a_class_lie_between_its_starts():
    job = make_job()
    grid = build_grid(job, variants_of(job))
    machines = [Machine(gpu=gpu("A100-SXM-80GB"), gpu_count=count) for count in (1, 3, 2)]
    rows = rows_on(grid, machines)
    assert rows.start.tolist()[1] == rows.start.tolist()[2]  # three GPUs do not divide sixteen sequences
    assert np.array_equal(rows.machine, np.repeat([0, 1, 2], np.diff(rows.start)))


def test_padding_factor_comes_from_the_lengths():
    lengths = LengthDistribution(quantiles=(100, 200, 400), count=3, mean=700 / 3, basis="measured")
    job = make_job(lengths=lengths)
    machine = Machine(gpu=gpu("A100-SXM-80GB"))
    factors = {recipe.micro_batch: recipe.padding_factor for recipe in recipes_on(job, machine)}
    assert factors[1] == lengths.padding_factor(1, 512)
    assert factors[16] == lengths.padding_factor(16, 512)
    assert factors[16] > factors[1]
    packed = recipes_on(replace(job, packing=True), machine)
    assert {recipe.padding_factor for recipe in packed} == {1.0}
    assert not any(recipe.variable_length for recipe in packed)
    assert all(recipe.variable_length for recipe in recipes_on(job, machine))


def test_unsloth_brings_its_kernels_and_does_not_shard():
    job = make_job(stack="unsloth", stack_known=True, loss="fused")
    recipes = recipes_on(job, Machine(gpu=gpu("A100-SXM-80GB"), gpu_count=2))
    assert {recipe.sharding for recipe in recipes} == {Sharding.DDP}
    assert all(recipe.fused_kernels and recipe.loss is Loss.FUSED and recipe.stack_known for recipe in recipes)


def test_the_job_fixes_what_is_not_searched():
    job = make_job(lora_rank=8, optimizer="adamw-8bit", seq_len=1024)
    for recipe in recipes_on(job, Machine(gpu=gpu("A100-SXM-80GB"))):
        assert (recipe.lora_rank, recipe.optimizer.value, recipe.seq_len) == (8, "adamw-8bit", 1024)
        assert recipe.offload is Offload.NONE  # 8-bit optimizer state cannot be moved
