"""70B models with 4-bit weights, sharded: GPU and host memory that was published, none of it used to fit the GPU side.

Sources: PEFT, docs/source/accelerate/deepspeed.md (ZeRO-3, W&B's panel, whose GB are read as GiB because 64 of them
are 80 % of an H100); Answer.AI, fsdp_qlora, benchmarks_03_2024.md (FSDP with CPU offload on two RTX 3090, 128 GB of
RAM full and part of a 10 GB swap file); P. Schmid, fsdp-qlora-llama3 (FSDP with CPU offload on four A10G, 127 GB).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optimizer.physics.axes import Attention, Offload, Sharding, Tuning
from optimizer.physics.memory import estimate_memory
from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.recipe import Recipe
from optimizer.physics.tabulate import Machine, tabulate
from optimizer.workload.models import load_models
from providers.gpus import load_gpus

if TYPE_CHECKING:
    from optimizer.physics.results import MemoryColumns

GIB = 2.0**30
MODELS, GPUS, CONSTANTS = load_models(), load_gpus(), load_memory_constants()


def memory(model: str, gpu: str, gpus: int, *, bits: int = 4, **recipe: object) -> MemoryColumns:
    row = Recipe(tuning=Tuning.LORA, bits=bits, seq_len=2048, **{"grad_accum": 2, **recipe})  # type: ignore[arg-type]
    machine = Machine(gpu=GPUS.by_id[gpu], gpu_count=gpus)
    return estimate_memory(tabulate([(MODELS.resolve(model), row, machine)]), CONSTANTS)


def zero3(bits: int, gpu: str, gpus: int, micro_batch: int) -> MemoryColumns:
    return memory(
        "llama-2-70b-hf",
        gpu,
        gpus,
        bits=bits,
        sharding=Sharding.ZERO3,
        attention=Attention.FLASH,
        micro_batch=micro_batch,
        lora_rank=8,
    )


def offloaded(model: str, gpu: str, gpus: int, micro_batch: int) -> MemoryColumns:
    return memory(model, gpu, gpus, sharding=Sharding.FSDP, offload=Offload.CPU, micro_batch=micro_batch)


def test_zero3_with_4_bit_weights_on_two_40_gb_cards() -> None:
    """Published: 36.6 per GPU. It fits, and neither loading nor training is said to need much less."""
    columns = zero3(4, "A100-SXM-40GB", 2, 2)
    assert columns.device.low[0] <= 36.6 * GIB <= columns.device.high[0]
    assert columns.device.expected[0] / GIB == pytest.approx(36.6, rel=0.02)
    assert columns.load_required.expected[0] / GIB == pytest.approx(36.6, rel=0.03)
    for needed in (columns.required, columns.load_required):
        assert 34 <= needed.expected[0] / GIB <= GPUS.by_id["A100-SXM-40GB"].usable_bytes / GIB


def test_zero3_with_16_bit_weights_on_eight_80_gb_cards() -> None:
    """Published: 64 per GPU. Twice the checkpoints, as under FSDP, would be 20 GiB more and over the card."""
    columns = zero3(16, "H100-SXM-80GB", 8, 8)
    assert columns.device.expected[0] / GIB == pytest.approx(64, rel=0.08)
    assert columns.device.low[0] <= 64 * GIB <= columns.device.high[0]


def test_fsdp_offload_on_two_24_gb_cards() -> None:
    """Published: 14.92 GiB reserved per GPU, and a host of 128 GB that is full at first and swaps."""
    columns = offloaded("llama-2-70b-hf", "RTX-3090-24GB", 2, 2)
    assert columns.reserved.low[0] <= 14.92 * GIB <= columns.reserved.high[0]
    assert columns.host.expected[0] / GIB == pytest.approx(133, rel=0.12)
    assert columns.host.high[0] > 128 * GIB
    assert columns.host.low[0] < 128 * GIB


def test_fsdp_offload_on_four_24_gb_cards_fits_its_192_gib_host() -> None:
    """Published: 127 GB of RAM, on a machine of 192 GiB."""
    columns = offloaded("llama-3-70b", "A10G-24GB", 4, 1)
    assert columns.host.expected[0] / GIB == pytest.approx(127, rel=0.10)
    assert columns.host.low[0] <= 127e9
    assert columns.host.high[0] <= 192 * GIB


def test_405b_needs_no_16_bit_copy_on_the_host() -> None:
    columns = memory("llama-3.1-405b", "H100-SXM-80GB", 8, sharding=Sharding.FSDP, micro_batch=1)
    assert columns.host.expected[0] / GIB < 250
