"""Columns hold what the objects say, row by row."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from optimizer.physics.axes import Precision, Sharding, Tuning, code
from optimizer.physics.recipe import Recipe
from optimizer.physics.runs import ARCHITECTURES
from optimizer.physics.tabulate import Machine, peak_flops_per_s, tabulate
from optimizer.workload.models import load_models
from providers.gpus import load_gpus

GPUS = load_gpus()
MODELS = load_models()
LLAMA = MODELS.resolve("llama-3.1-8b")
SMALL = MODELS.resolve("llama-3.2-1b")
A100 = GPUS.by_id["A100-SXM-80GB"]
T4 = GPUS.resolve("T4")
assert T4 is not None
LORA = Recipe(tuning=Tuning.LORA, lora_rank=8, target_modules=("q_proj", "k_proj", "v_proj"), bits=4, micro_batch=4)
FULL = Recipe(tuning=Tuning.FULL, sharding=Sharding.FSDP, precision=Precision.FP16_MIXED, grad_accum=3)


def test_rows_keep_their_order_and_values() -> None:
    runs = tabulate(
        [
            (LLAMA, LORA, Machine(gpu=A100)),
            (SMALL, FULL, Machine(gpu=T4, gpu_count=4, nodes=2, host_ram_bytes=5, network_bytes_per_s=7.0)),
            (LLAMA, FULL, Machine(gpu=A100, gpu_count=8)),
        ]
    )
    assert runs.count == 3
    assert runs.model.layers.tolist() == [32, 16, 32]
    assert runs.model.hidden.tolist() == [4096, 2048, 4096]
    assert runs.recipe.bits.tolist() == [4, 16, 16]
    assert runs.recipe.micro_batch.tolist() == [4, 1, 1]
    assert runs.recipe.grad_accum.tolist() == [1, 3, 3]
    assert runs.recipe.tuning.tolist() == [code(Tuning.LORA), code(Tuning.FULL), code(Tuning.FULL)]
    assert runs.machine.gpu_count.tolist() == [1, 4, 8]
    assert runs.machine.nodes.tolist() == [1, 2, 1]
    assert math.isnan(runs.machine.host_ram_bytes[0])
    assert runs.machine.host_ram_bytes[1] == 5
    assert runs.machine.network_bytes_per_s[1] == 7.0
    assert ARCHITECTURES[runs.machine.architecture[0]] == "ampere"
    assert ARCHITECTURES[runs.machine.architecture[1]] == "turing"


def test_trained_parameters_and_adapter_widths() -> None:
    runs = tabulate([(LLAMA, LORA, Machine(gpu=A100)), (LLAMA, FULL, Machine(gpu=A100))])
    assert runs.recipe.trainable_params.tolist() == [4_718_592, LLAMA.total_params]
    # q, k and v each read the hidden state of 4096; they write 4096, 1024 and 1024.
    assert runs.recipe.adapter_inputs.tolist() == [3 * 4096, 0]
    assert runs.recipe.adapter_outputs.tolist() == [4096 + 1024 + 1024, 0]
    assert runs.recipe.trains_embeddings.tolist() == [False, True]


def test_dora_adds_one_magnitude_per_output() -> None:
    dora = replace(LORA, tuning=Tuning.DORA)
    runs = tabulate([(LLAMA, dora, Machine(gpu=A100))])
    assert runs.recipe.trainable_params[0] == 4_718_592 + 32 * (4096 + 1024 + 1024)


def test_parameter_roles_sum_to_the_model() -> None:
    runs = tabulate([(LLAMA, LORA, Machine(gpu=A100))])
    columns = runs.model
    total = columns.linear_params + columns.embedding_params + columns.head_params + columns.other_params
    assert total[0] == LLAMA.total_params == 8_030_261_248


def test_links_follow_the_form_factor() -> None:
    pcie = GPUS.by_id["L4-24GB"]
    runs = tabulate([(LLAMA, LORA, Machine(gpu=A100)), (LLAMA, LORA, Machine(gpu=pcie))])
    assert runs.machine.nvlink.tolist() == [True, False]
    assert runs.machine.link_bytes_per_s[0] == 300e9
    assert runs.machine.link_bytes_per_s[1] == pcie.pcie_bytes_per_s


def test_peak_follows_the_compute_type() -> None:
    assert peak_flops_per_s(A100, Precision.BF16_MIXED) == 312e12
    assert peak_flops_per_s(A100, Precision.FP32) == 156e12
    assert peak_flops_per_s(T4, Precision.BF16_MIXED) == 65e12
    assert peak_flops_per_s(T4, Precision.FP16_PURE) == 65e12


def test_board_power_and_published_width_are_carried_or_unknown() -> None:
    deepseek = MODELS.resolve("DeepSeek-V3")
    runs = tabulate(
        [
            (LLAMA, LORA, Machine(gpu=A100)),
            (deepseek, replace(LORA, target_modules=("o_proj",)), Machine(gpu=replace(T4, watts=None))),
        ]
    )
    assert runs.machine.watts[0] == 400.0
    assert math.isnan(runs.machine.watts[1])
    assert runs.model.published_bytes_per_param.tolist() == [2.0, 1.026]


def test_take_picks_rows_and_leaves_shared_columns() -> None:
    runs = tabulate([(LLAMA, replace(LORA, micro_batch=size), Machine(gpu=A100)) for size in (1, 2, 4)])
    picked = runs.take(np.array([2, 0]))
    assert picked.count == 2
    assert picked.recipe.micro_batch.tolist() == [4, 1]


def test_no_rows_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no rows"):
        tabulate([])
