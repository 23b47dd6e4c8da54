"""Senseless mixes are refused with the reason; sensible ones are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optimizer.physics.axes import (
    Attention,
    Objective,
    Offload,
    Optimizer,
    Precision,
    Sharding,
    Stack,
    Tuning,
    code,
    member,
)
from optimizer.physics.recipe import Recipe, Refusal, caution, refusal, refuse
from providers.gpus import load_gpus

GPUS = load_gpus()
LORA = Recipe(tuning=Tuning.LORA)
FULL = Recipe(tuning=Tuning.FULL)


def gpu(name: str):  # type: ignore[no-untyped-def]
    found = GPUS.resolve(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("recipe", "word"),
    [
        (replace(FULL, bits=4), "gradient"),
        (replace(FULL, bits=8), "gradient"),
        (replace(LORA, bits=3), "not modelled"),
        (replace(LORA, bits=4, precision=Precision.FP8), "fp8"),
        (replace(LORA, bits=8, sharding=Sharding.ZERO3), "sharded"),
        (replace(LORA, bits=8, sharding=Sharding.FSDP), "sharded"),
        (replace(LORA, bits=4, sharding=Sharding.ZERO3, offload=Offload.CPU), "4-bit"),
        (replace(LORA, bits=4, sharding=Sharding.ZERO3, offload=Offload.NVME), "4-bit"),
        (replace(FULL, sharding=Sharding.FSDP, offload=Offload.NVME), "NVMe"),
        (replace(FULL, sharding=Sharding.ZERO1, offload=Offload.CPU), "CPU offload"),
        (replace(FULL, offload=Offload.CPU), "CPU offload"),
        (replace(FULL, sharding=Sharding.ZERO3, offload=Offload.CPU, optimizer=Optimizer.ADAMW_8BIT), "bitsandbytes"),
        (replace(LORA, stack=Stack.UNSLOTH, sharding=Sharding.ZERO2), "Unsloth"),
        (replace(LORA, objective=Objective.PPO, sharding=Sharding.FSDP), "PPO"),
    ],
)
def test_senseless_mixes_say_why(recipe: Recipe, word: str) -> None:
    reason = refusal(recipe)
    assert reason is not None
    assert word in reason
    found = refuse(recipe)
    assert found is not None
    assert found.reason == reason
    assert hasattr(recipe, found.axis)


@pytest.mark.parametrize(
    ("recipe", "axis"),
    [
        (replace(FULL, bits=4), "bits"),
        (replace(LORA, bits=4, precision=Precision.FP8), "precision"),
        (replace(LORA, bits=8, sharding=Sharding.FSDP), "sharding"),
        (replace(LORA, bits=4, sharding=Sharding.ZERO3, offload=Offload.CPU), "offload"),
        (replace(FULL, sharding=Sharding.ZERO1, offload=Offload.CPU), "offload"),
        (replace(FULL, sharding=Sharding.ZERO3, offload=Offload.CPU, optimizer=Optimizer.ADAMW_8BIT), "optimizer"),
        (replace(LORA, stack=Stack.UNSLOTH, sharding=Sharding.ZERO2), "sharding"),
        (replace(LORA, objective=Objective.PPO, sharding=Sharding.FSDP), "sharding"),
    ],
)
def test_the_axis_at_fault_is_named(recipe: Recipe, axis: str) -> None:
    found = refuse(recipe)
    assert found is not None
    assert found.axis == axis


def test_the_chip_is_at_fault_where_it_lacks_something() -> None:
    t4 = gpu("T4")
    fp16 = replace(LORA, precision=Precision.FP16_MIXED)
    assert refuse(LORA, gpu=t4) == Refusal("precision", "T4-16GB has no bf16 units: use fp16")
    assert refuse(fp16, gpu=t4) is None
    untrainable = refuse(LORA, gpu=replace(t4, trainable=False))
    assert untrainable is not None
    assert untrainable.axis == "gpu"


@pytest.mark.parametrize(
    ("name", "capability", "refused"), [("T4", None, True), ("V100-SXM2-16GB", None, True), ("T4", "8.0", False)]
)
def test_flash_attention_needs_ampere(name: str, capability: str | None, refused: bool) -> None:
    chip = gpu(name)
    chip = chip if capability is None else replace(chip, compute_capability=capability)
    flash = replace(LORA, precision=Precision.FP16_MIXED, attention=Attention.FLASH)
    found = refuse(flash, gpu=chip)
    assert (found is not None) is refused
    if found is not None:
        assert found.axis == "attention"
        assert f"8.0 or newer, and {chip.id} has {chip.compute_capability}: use sdpa" in found.reason
    assert refuse(replace(flash, attention=Attention.SDPA), gpu=chip) is None
    # Unsloth takes xformers on such chips.
    assert refuse(replace(flash, stack=Stack.UNSLOTH), gpu=chip) is None


def test_flash_attention_is_not_refused_on_other_vendors() -> None:
    flash = replace(LORA, attention=Attention.FLASH)
    assert refuse(flash, gpu=gpu("MI300X-OAM-192GB")) is None


def test_kbit_weights_on_amd_carry_a_caution() -> None:
    amd = gpu("MI300X-OAM-192GB")
    assert "ROCm" in (caution(replace(LORA, bits=4), amd) or "")
    assert "8-bit weights on MI300X-OAM-192GB" in (caution(replace(LORA, bits=8), amd) or "")
    assert caution(LORA, amd) is None
    assert caution(replace(LORA, bits=4), gpu("A100-SXM-80GB")) is None


@pytest.mark.parametrize(
    "recipe",
    [
        FULL,
        LORA,
        replace(LORA, bits=8),
        replace(LORA, bits=4),
        replace(LORA, bits=4, sharding=Sharding.FSDP),
        replace(LORA, bits=4, sharding=Sharding.FSDP, offload=Offload.CPU),
        replace(LORA, bits=4, sharding=Sharding.ZERO3),
        replace(FULL, sharding=Sharding.ZERO3, offload=Offload.NVME),
        replace(FULL, sharding=Sharding.ZERO2, offload=Offload.CPU),
        replace(LORA, tuning=Tuning.DORA, bits=4),
        replace(FULL, objective=Objective.DPO, sharding=Sharding.ZERO3),
    ],
)
def test_sensible_mixes_pass(recipe: Recipe) -> None:
    assert refusal(recipe) is None


@pytest.mark.parametrize("name", ["T4", "V100-SXM2-16GB"])
def test_bf16_is_refused_where_the_chip_has_none(name: str) -> None:
    assert "bf16" in (refusal(LORA, gpu=gpu(name)) or "")
    assert refusal(replace(LORA, precision=Precision.FP16_MIXED), gpu=gpu(name)) is None


def test_fp8_needs_the_units() -> None:
    fp8 = replace(FULL, precision=Precision.FP8)
    assert "fp8" in (refusal(fp8, gpu=gpu("A100-SXM-80GB")) or "")
    assert refusal(fp8, gpu=gpu("H100-SXM-80GB")) is None


def test_cards_outside_the_model_are_refused() -> None:
    untrainable = replace(gpu("H100-SXM-80GB"), trainable=False, notes="an inference part")
    assert "an inference part" in (refusal(LORA, gpu=untrainable) or "")


def test_kbit_kernels_need_a_young_enough_card() -> None:
    old = replace(gpu("V100-SXM2-16GB"), compute_capability="6.0")
    recipe = replace(LORA, bits=4, precision=Precision.FP16_MIXED)
    assert "7.0" in (refusal(recipe, gpu=old) or "")
    assert refusal(recipe, gpu=gpu("T4")) is None


@pytest.mark.parametrize(
    ("sharding", "offload", "gpus", "refused"),
    [
        (Sharding.NONE, Offload.NONE, 1, False),
        (Sharding.NONE, Offload.NONE, 2, True),
        (Sharding.DDP, Offload.NONE, 1, True),
        (Sharding.ZERO1, Offload.NONE, 1, True),
        (Sharding.ZERO3, Offload.NONE, 1, True),
        (Sharding.ZERO3, Offload.CPU, 1, False),
        (Sharding.FSDP, Offload.NONE, 2, False),
    ],
)
def test_sharding_matches_the_number_of_gpus(sharding: Sharding, offload: Offload, gpus: int, refused: bool) -> None:
    recipe = replace(FULL, sharding=sharding, offload=offload)
    assert (refusal(recipe, gpus=gpus) is not None) is refused


def test_method_names() -> None:
    assert replace(LORA, bits=4).method == "qlora"
    assert replace(LORA, bits=8).method == "lora"
    assert replace(LORA, tuning=Tuning.DORA, bits=4).method == "dora"
    assert FULL.method == "full"


def test_codes_round_trip() -> None:
    for axis in (Tuning, Objective, Sharding, Offload, Optimizer, Precision, Stack):
        for item in axis:
            assert member(axis, code(item)) is item
    assert code(Tuning.FULL) == 0
    assert code(Sharding.FSDP) == 5
