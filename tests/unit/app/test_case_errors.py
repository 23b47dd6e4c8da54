"""Which reading a row holds, and the comparison with what was predicted."""

from __future__ import annotations

import pytest

from optimizer.app.case_errors import SPEED, as_compared, compare_cases, reading_of
from optimizer.measure.errors import errors

PREDICTED = {
    "pred_allocated_gib": "11", "pred_allocated_low_gib": "10", "pred_allocated_high_gib": "12",
    "pred_device_gib": "14", "pred_device_low_gib": "12", "pred_device_high_gib": "16",
    "pred_tokens_per_s_per_gpu": "900",
    "pred_tokens_per_s_per_gpu_low": "800", "pred_tokens_per_s_per_gpu_high": "1000",
    "pred_assumed": "nodes 2; network 200 GB/s per node",
}  # fmt: skip
ROW = {
    "source": "here", "method": "lora", "num_gpus": "2", "status": "ok",
    "peak_mem_gib_per_gpu": "10", "mem_measure": "torch max_memory_allocated",
    "mem2_gib_per_gpu": "14", "mem2_measure": "nvidia-smi", "tokens_per_s_per_gpu": "1,000",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("", None),
        ("torch max_memory_allocated /1024^3 (printed GB)", "allocated"),
        ("torch peak active memory GiB", "allocated"),
        ("torch peak memory during training", "allocated"),
        ("torch max_memory_reserved (max over ranks)", "reserved"),
        ('torch peak memory reserved ("GB")', "reserved"),
        ("nvidia-smi used, averaged over GPUs", "device"),
        ('unknown ("G")', "device"),
        ("W&B GPU memory allocated", "device"),
    ],
)
def test_texts_name_their_reading(text: str, reading: str | None) -> None:
    assert reading_of(text) == reading


def test_every_figure_of_a_row_is_compared() -> None:
    found = compare_cases([ROW], [PREDICTED])
    assert [(one.reading, one.measured, one.expected) for one in found] == [
        ("allocated", 10.0, 11.0), ("device", 14.0, 14.0), (SPEED, 1000.0, 900.0),
    ]  # fmt: skip
    assert all(one.recipe_known and one.gpus == 2 and one.source == "here" for one in found)
    assert errors(as_compared(found)).count == 3


@pytest.mark.parametrize(
    ("row", "prediction"),
    [
        ({"status": "oom_or_failed"}, {}),
        ({"status": "out of memory"}, {}),
        ({"status": "did not fit"}, {}),
        ({}, {"pred_error": "method 'x': not modelled"}),
        ({"peak_mem_gib_per_gpu": "", "mem2_gib_per_gpu": "-", "tokens_per_s_per_gpu": "0"}, {}),
    ],
)
def test_nothing_is_compared_that_was_not_measured_or_not_predicted(
    row: dict[str, str], prediction: dict[str, str]
) -> None:
    assert compare_cases([ROW | row], [PREDICTED | prediction]) == []


def test_an_assumption_that_decides_makes_the_recipe_unknown() -> None:
    found = compare_cases([ROW], [PREDICTED | {"pred_assumed": "seq_len 2048"}])
    assert not any(one.recipe_known for one in found)
