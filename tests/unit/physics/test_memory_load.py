"""The load peak of a toy model: what initialisation holds at once, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optimizer.physics.axes import Objective, Offload, Precision, Sharding, Tuning
from tests.unit.physics.memory_cases import (
    EMBEDDING,
    HEAD,
    LINEAR,
    OTHER,
    TOTAL,
    TOY,
    memory_of,
)

FULL, LORA = Tuning.FULL, Tuning.LORA
QV = ("q_proj", "v_proj")
ADAPTER = 2 * 2 * ((8 + 8) + (8 + 4))
ROLLOUT = {"objective": Objective.PPO, "prompt_tokens": 500, "response_tokens": 500, "reward_params": 10}


@pytest.mark.parametrize(
    ("bits", "linear"),
    [(16, 4.0), (8, 1.0 + 4 / 8), (4, 0.5)],
)
def test_load_peak_with_kbit_preparation(bits: int, linear: float) -> None:
    columns = memory_of(tuning=LORA, bits=bits, target_modules=QV, kbit_preparation=True)
    rest = 4 * (EMBEDDING + HEAD + OTHER)
    assert columns.load_peak.expected[0] == linear * LINEAR + rest + 2 * EMBEDDING + 4 * ADAPTER
    assert columns.load_required.expected[0] == 1.5 * columns.load_peak.expected[0] + 5_000


def test_load_peak_without_preparation_stages_the_largest_tensor() -> None:
    plain = memory_of(tuning=LORA, bits=16, target_modules=QV)
    assert plain.load_peak.expected[0] == 2 * TOTAL + 4 * ADAPTER
    quantised = memory_of(tuning=LORA, bits=4, target_modules=QV, kbit_preparation=False)
    assert quantised.load_parts["staging"][0] == 2 * EMBEDDING
    wide = replace(TOY, vocab=10)
    columns = memory_of(model=wide, tuning=LORA, bits=4, target_modules=QV, kbit_preparation=False)
    assert columns.load_parts["staging"][0] == 2 * 8 * 16


def test_sharded_load_brings_in_one_unit_at_a_time() -> None:
    pure = memory_of(tuning=FULL, sharding=Sharding.FSDP, gpus=4)
    assert pure.load_peak.expected[0] == 2 * TOTAL / 4 + 2 * (EMBEDDING + HEAD)
    mixed = memory_of(tuning=FULL, sharding=Sharding.FSDP, gpus=4, precision=Precision.BF16_MIXED)
    assert mixed.load_peak.expected[0] == 4 * TOTAL / 4 + 4 * (EMBEDDING + HEAD)
    away = memory_of(tuning=FULL, sharding=Sharding.FSDP, gpus=4, offload=Offload.CPU)
    assert away.load_peak.expected[0] == 2 * (EMBEDDING + HEAD)


def test_prepared_and_sharded_load_divides_the_upcast() -> None:
    columns = memory_of(tuning=LORA, bits=4, target_modules=QV, kbit_preparation=True, sharding=Sharding.FSDP, gpus=2)
    rest = EMBEDDING + HEAD + OTHER
    assert columns.load_parts["weights"][0] == (0.5 * LINEAR + 4 * rest) / 2
    assert columns.load_parts["staging"][0] == 2 * (EMBEDDING + HEAD)
    whole = memory_of(
        tuning=LORA,
        bits=4,
        target_modules=QV,
        kbit_preparation=True,
        sharding=Sharding.ZERO2,
        gpus=2,
        offload=Offload.CPU,
    )
    assert whole.load_parts["weights"][0] == 0.5 * LINEAR + 4 * rest
    assert whole.load_parts["staging"][0] == 2 * EMBEDDING
    alone = memory_of(tuning=FULL, sharding=Sharding.FSDP, gpus=1)
    assert alone.load_parts["staging"][0] == 0
    away = memory_of(tuning=FULL, sharding=Sharding.ZERO3, gpus=1, offload=Offload.CPU)
    assert away.load_peak.expected[0] == 2 * (EMBEDDING + HEAD)


@pytest.mark.parametrize(
    ("prepared", "rest_width", "offload"), [(None, 2, Offload.NONE), (True, 4, Offload.NONE), (None, 2, Offload.CPU)]
)
def test_zero3_loads_the_whole_kbit_model_on_each_gpu(prepared: bool | None, rest_width: int, offload: Offload) -> None:
    shape = {"tuning": LORA, "target_modules": QV, "sharding": Sharding.ZERO3, "gpus": 4, "offload": offload}
    columns = memory_of(bits=4, kbit_preparation=prepared, **shape)  # type: ignore[arg-type]
    assert columns.load_parts["weights"][0] == 0.5 * LINEAR + rest_width * (EMBEDDING + HEAD + OTHER)
    assert columns.load_parts["staging"][0] == 2 * EMBEDDING
    assert columns.parts["weights"][0] < columns.load_parts["weights"][0]
    sixteen = memory_of(bits=16, **shape)  # type: ignore[arg-type]
    assert sixteen.load_parts["weights"][0] == (2 * TOTAL / 4 if offload is Offload.NONE else 0)


def test_fsdp_loads_a_kbit_model_in_shards() -> None:
    columns = memory_of(tuning=LORA, bits=4, target_modules=QV, sharding=Sharding.FSDP, gpus=4)
    assert columns.load_parts["weights"][0] == (0.5 * LINEAR + 2 * (EMBEDDING + HEAD + OTHER)) / 4


def test_ppo_loads_the_value_model_as_weights_only() -> None:
    columns = memory_of(tuning=FULL, **ROLLOUT)  # type: ignore[arg-type]
    assert columns.load_parts["value_model"][0] == 2 * TOTAL
    assert columns.load_parts["model_copies"][0] == 2 * TOTAL + 2 * 10


def test_no_reading_falls_below_the_load_peak() -> None:
    columns = memory_of(tuning=LORA, bits=4, target_modules=QV, kbit_preparation=True, seq_len=1)
    assert columns.reserved.expected[0] == 1.5 * columns.load_peak.expected[0]
