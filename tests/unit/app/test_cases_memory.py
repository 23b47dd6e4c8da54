"""Intervals of cases: wider for what a row leaves open, and the load peak where torch's counter would show it."""

from __future__ import annotations

from dataclasses import replace
from math import exp, hypot, log
from typing import TYPE_CHECKING

import pytest

from optimizer.app.case_memory import READINGS, case_memory
from optimizer.app.case_parsing import Case
from optimizer.physics.axes import Loss, Tuning
from optimizer.physics.memory import estimate_memory
from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.recipe import Recipe
from optimizer.physics.tabulate import Machine, tabulate
from optimizer.workload.models import load_models
from providers.gpus import load_gpus

if TYPE_CHECKING:
    from optimizer.physics.results import Interval, MemoryColumns

CONSTANTS = load_memory_constants()
Z = 1.2815515655446004
CASE = Case(
    model=load_models().resolve("llama-3.1-8b"),
    recipe=Recipe(tuning=Tuning.LORA, stack_known=True, loss=Loss.FUSED, micro_batch=4),
    machine=Machine(gpu=load_gpus().by_id["A100-SXM-80GB"]),
    gpu_known=True,
    size_known=True,
    assumed=(),
    length_limit=8192,
)


def plain(*cases: Case) -> MemoryColumns:
    return estimate_memory(tabulate([(case.model, case.recipe, case.machine) for case in cases]), CONSTANTS)


def read(*cases: Case) -> MemoryColumns:
    return case_memory(cases, plain(*cases), CONSTANTS)


def widths(interval: Interval, at: int = 0) -> tuple[float, float]:
    middle = interval.expected[at]
    return log(middle / interval.low[at]), log(interval.high[at] / middle)


def test_a_row_that_says_everything_keeps_the_intervals_of_the_model() -> None:
    before, after = plain(CASE), read(CASE)
    for name in READINGS:
        for end in ("low", "expected", "high"):
            assert getattr(getattr(after, name), end)[0] == pytest.approx(getattr(getattr(before, name), end)[0])


@pytest.mark.parametrize("reading", READINGS)
def test_doubt_about_the_length_is_what_other_lengths_would_need(reading: str) -> None:
    doubted = replace(CASE, length_doubt=0.3)
    own = widths(getattr(plain(CASE), reading))[0]
    ends = [
        getattr(plain(replace(CASE, recipe=replace(CASE.recipe, seq_len=round(2048 * exp(z * 0.3))))), reading)
        for z in (-Z, Z)
    ]
    middle = getattr(plain(CASE), reading).expected[0]
    down, up = widths(getattr(read(CASE, doubted), reading), at=1)
    assert down == pytest.approx(hypot(own, log(middle / ends[0].expected[0])))
    assert up == pytest.approx(hypot(own, log(ends[1].expected[0] / middle)))


def test_no_length_passes_its_limit() -> None:
    doubted = replace(CASE, length_doubt=0.3, length_limit=2048)
    down, up = widths(read(doubted).allocated)
    assert up == pytest.approx(widths(plain(CASE).allocated)[1])
    assert down > 1.2 * up


def test_doubt_about_the_recipe_widens_all_and_about_the_reading_the_device() -> None:
    before = plain(CASE)
    recipe = read(replace(CASE, recipe_doubt=0.2))
    device = read(replace(CASE, reading_doubt=0.1))
    for name in READINGS:
        own = widths(getattr(before, name))[1]
        assert widths(getattr(recipe, name)) == pytest.approx((hypot(own, Z * 0.2),) * 2)
        expected = hypot(own, Z * 0.1) if name == "device" else own
        assert widths(getattr(device, name)) == pytest.approx((expected,) * 2)


def test_readings_of_the_card_stay_below_its_size_and_needs_do_not() -> None:
    tight = replace(CASE, recipe=replace(CASE.recipe, micro_batch=48), length_doubt=0.5)
    columns = read(tight)
    usable = CASE.machine.gpu.usable_bytes
    assert columns.device.high[0] == usable
    assert columns.reserved.high[0] <= usable
    assert columns.required.high[0] > usable
    assert columns.device.low[0] < plain(tight).device.low[0]


def test_the_peak_counter_sees_the_load_peak() -> None:
    short = replace(CASE, recipe=replace(CASE.recipe, bits=4, seq_len=16, micro_batch=1, kbit_preparation=True))
    columns = read(short)
    assert plain(short).allocated.expected[0] < columns.load_peak.expected[0]
    for end in ("low", "expected", "high"):
        assert getattr(columns.allocated, end)[0] == max(
            getattr(columns.load_peak, end)[0], getattr(plain(short).allocated, end)[0]
        )
