"""Laws of a calibration: what it changes, what it leaves alone, and that it is the same however the runs come."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.measure.calibration import Calibration, calibrate, calibrated_memory, calibrated_speed
from optimizer.measure.calibration_file import calibration_digest, calibration_document, parse_calibration
from optimizer.measure.constant_paths import constant, with_constants
from optimizer.measure.record import MeasuredRun, Readings, RunStatus
from optimizer.measure.run_rows import NamedRun, machine_of_run
from optimizer.physics.axes import Stack, Tuning
from optimizer.physics.memory import estimate_memory
from optimizer.physics.memory_constants import MemoryConstants, load_memory_constants
from optimizer.physics.speed_constants import SpeedConstants, load_speed_constants
from optimizer.physics.tabulate import tabulate
from optimizer.physics.throughput import Z90, estimate_throughput
from optimizer.search.calibrated import calibrated, with_measured_speed
from providers.basis import Basis
from providers.errors import JobError
from providers.gpus import load_gpus
from tests.unit.measure.runs_of import GPU, recipe_of, run_of

GPUS = load_gpus()
MEMORY, SPEED = load_memory_constants(), load_speed_constants()
RECIPES = [
    recipe_of(micro_batch=micro, seq_len=length, tuning=tuning, bits=bits)
    for micro, length, tuning, bits in (
        (1, 256, Tuning.LORA, 4), (4, 1024, Tuning.LORA, 4), (8, 2048, Tuning.LORA, 16), (4, 4096, Tuning.LORA, 16),
        (2, 2048, Tuning.FULL, 16), (1, 8192, Tuning.LORA, 16),
    )
]  # fmt: skip


ROOM = GPUS.by_id[GPU].usable_bytes


def made(*runs: MeasuredRun) -> Calibration:
    named = [NamedRun(where=f"run {at}", run=run) for at, run in enumerate(runs)]
    return calibrate(named, gpus=GPUS, memory=MEMORY, speed=SPEED, where="test")


def columns(run: MeasuredRun) -> Any:
    return tabulate([(run.model, run.recipe, machine_of_run(run, GPUS))])


def modelled(run: MeasuredRun, speed: SpeedConstants = SPEED) -> float:
    return float(estimate_throughput(columns(run), speed).tokens_per_s.expected[0])


def allocated(run: MeasuredRun, memory: MemoryConstants = MEMORY) -> int:
    return round(float(estimate_memory(columns(run), memory).allocated.expected[0]))


def read(run: MeasuredRun, **readings: Any) -> MeasuredRun:
    return replace(run, readings=Readings(**readings))


def after(calibration: Calibration, run: MeasuredRun) -> tuple[float, float]:
    """Return tokens/s and their deviation by a calibration."""
    stack = calibration.of(run.recipe.stack.value)
    assert stack is not None
    speed = calibrated_speed(SPEED, stack)
    gpu = np.array([run.gpu])
    runs = calibrated(columns(run), gpu, stack.cards)
    found = with_measured_speed(estimate_throughput(runs, speed), runs, gpu, stack.cards, speed)
    return float(found.tokens_per_s.expected[0]), float(found.sigma_log[0])


@cache
def by_the_model() -> list[tuple[MeasuredRun, float, int | None]]:
    """Return a run of each recipe, the model's tokens/s of it, and its bytes where they fit."""
    plain = [run_of(recipe=recipe) for recipe in RECIPES]
    return [(run, modelled(run), allocated(run) if allocated(run) < ROOM else None) for run in plain]


def truth(factor: float = 1.0) -> list[MeasuredRun]:
    return [read(run, tokens_per_s=speed * factor, allocated_bytes=held) for run, speed, held in by_the_model()]


@cache
def text_to_damage() -> str:
    """Return the file of a calibration as text: what it says is not the point of the tests that damage it."""
    return json.dumps(calibration_document(made(truth()[1])))


def test_runs_that_the_model_made_itself_change_nothing() -> None:
    found = made(*truth())
    (stack,) = found.stacks
    assert all(abs(one.change) < 1e-3 for one in (*stack.speed, *stack.memory))
    assert stack.cards[0].factor == pytest.approx(1.0, abs=1e-3)
    assert all(one.worst_after < 0.002 for one in stack.errors)
    assert stack.memory_spread is not None
    assert stack.memory_spread[0] == stack.memory_spread[1]


def test_a_slower_machine_is_a_factor_and_not_other_physics() -> None:
    found = made(*truth(0.8)).stacks[0]
    assert found.cards[0].factor == pytest.approx(0.8, rel=0.05)
    assert all(abs(one.change) < 0.15 for one in found.speed)
    assert next(one for one in found.errors if one.reading == "tokens_per_s").worst_after < 0.03


def test_one_row_moves_the_factor_and_hardly_the_constants() -> None:
    run = run_of(recipe=RECIPES[2])
    found = made(read(run, tokens_per_s=1.25 * modelled(run)))
    (stack,) = found.stacks
    assert 1.12 < stack.cards[0].factor < 1.25
    assert all(abs(one.change) < 0.08 for one in stack.speed)
    assert stack.memory == ()
    speed, sigma = after(found, run)
    assert speed == pytest.approx(1.25 * modelled(run), rel=0.05)
    uncalibrated = float(estimate_throughput(columns(run), SPEED).sigma_log[0])
    assert sigma < uncalibrated


def test_many_rows_move_the_constant_that_they_show() -> None:
    """A machine whose launches take twice as long: short micro-steps show it, long ones hide it."""
    name = f"launch_s.{Stack.HF}"
    slow = with_constants(SPEED, {name: 2.0 * constant(SPEED, name)})
    lengths = (128, 192, 256, 384, 512, 1024, 4096, 8192)
    runs = [run_of(recipe=recipe_of(micro_batch=1, seq_len=length)) for length in lengths]
    found = made(*(read(run, tokens_per_s=modelled(run, slow)) for run in runs)).stacks[0]
    change = {one.name: one.change for one in found.speed}[name]
    assert 0.4 < change < 1.2
    assert found.cards[0].factor == pytest.approx(1.0, abs=0.12)
    assert found.errors[0].median_after < 0.25 * max(found.errors[0].median_before, 0.05)


def test_memory_moves_the_constants_that_its_readings_bear_on() -> None:
    more = with_constants(MEMORY, {"logits.standard_vocab": 1.15 * MEMORY.logits.standard_vocab})
    runs = [run_of(recipe=recipe_of(micro_batch=micro, seq_len=length)) for micro, length in ((4, 2048), (2, 1024))]
    found = made(*(read(run, allocated_bytes=allocated(run, more)) for run in runs))
    (stack,) = found.stacks
    changes = {one.name: one.change for one in stack.memory}
    assert changes["logits.standard_vocab"] == pytest.approx(0.15, abs=0.06)
    assert not {"logits.triton_vocab", "activations.kept_plain"} & changes.keys()
    assert stack.cards[0].speed is None
    assert stack.cards[0].factor == 1.0
    for run in runs:
        assert allocated(run, calibrated_memory(MEMORY, stack)) == pytest.approx(allocated(run, more), rel=0.03)


def test_readings_that_no_constant_explains_widen_the_interval_of_memory() -> None:
    run = run_of(recipe=RECIPES[2])
    (stack,) = made(read(run, allocated_bytes=round(1.55 * allocated(run)))).stacks
    assert stack.memory_spread is not None
    before, now = stack.memory_spread
    assert now > before + 0.1
    assert calibrated_memory(MEMORY, stack).sigma.model == now


@given(order=st.permutations(range(len(RECIPES))))
@settings(max_examples=8, deadline=None)
def test_the_order_of_the_runs_does_not_matter(order: list[int]) -> None:
    runs = truth(0.9)
    whole = calibration_document(made(*runs))
    assert calibration_document(made(*(runs[at] for at in order))) == whole


def test_calibrating_twice_gives_the_same_bytes_and_a_run_named_twice_counts_once() -> None:
    runs = truth(1.1)
    first, again = made(*runs), made(*runs, runs[0])
    assert calibration_digest(first) == calibration_digest(made(*runs)) == calibration_digest(again)
    assert [one.reason for one in again.skipped] == ["the same run as run 0: counted once"]


@given(factor=st.floats(1.01, 1.6), at=st.integers(0, len(RECIPES) - 1), base=st.floats(0.6, 1.5))
@settings(max_examples=25, deadline=None)
def test_a_faster_row_never_makes_its_own_recipe_slower(factor: float, at: int, base: float) -> None:
    runs = [read(run, tokens_per_s=run.readings.tokens_per_s) for run in truth(base)]
    faster = [
        read(run, tokens_per_s=(run.readings.tokens_per_s or 0.0) * (factor if position == at else 1.0))
        for position, run in enumerate(runs)
    ]
    assert after(made(*faster), runs[at])[0] >= after(made(*runs), runs[at])[0] * (1 - 2e-4)


@given(factor=st.floats(1.01, 1.6), at=st.integers(0, len(RECIPES) - 1), other=st.integers(0, len(RECIPES) - 1))
@settings(max_examples=25, deadline=None)
def test_one_faster_row_makes_no_recipe_slower(factor: float, at: int, other: int) -> None:
    run = truth()[at]
    speed = run.readings.tokens_per_s or 0.0
    slow, fast = made(read(run, tokens_per_s=speed)), made(read(run, tokens_per_s=speed * factor))
    judged = run_of(recipe=RECIPES[other])
    assert after(fast, judged)[0] >= after(slow, judged)[0] * (1 - 2e-4)


@given(ratio=st.floats(0.21, 4.9), at=st.integers(0, len(RECIPES) - 1))
@settings(max_examples=40, deadline=None)
def test_the_only_run_lies_in_its_own_interval_however_far_off(ratio: float, at: int) -> None:
    run = run_of(recipe=RECIPES[at])
    measured = ratio * modelled(run)
    found = made(read(run, tokens_per_s=measured))
    (card,) = found.stacks[0].cards
    assert not card.warnings
    speed, sigma = after(found, run)
    assert abs(math.log(measured / speed)) < 0.5 * Z90 * sigma


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75, 0.9, 1.1, 1.3, 2.0, 4.0])
def test_one_run_moves_the_factor_by_nine_tenths_and_by_more_from_far(ratio: float) -> None:
    run = run_of(recipe=RECIPES[2])
    (card,) = made(read(run, tokens_per_s=ratio * modelled(run))).stacks[0].cards
    share = math.log(card.factor) / math.log(ratio)
    assert (0.8 if 0.7 < ratio < 1.4 else 0.9) < share < 1.0


@given(ratios=st.lists(st.floats(0.25, 4.0), min_size=2, max_size=len(RECIPES)))
@settings(max_examples=25, deadline=None)
def test_four_runs_in_five_lie_in_the_interval_of_their_card(ratios: list[float]) -> None:
    runs = [
        read(run, tokens_per_s=modelled(run) * ratio)
        for run, ratio in zip((run_of(recipe=recipe) for recipe in RECIPES), ratios, strict=False)
    ]
    found = made(*runs)
    distances = []
    for run in runs:
        speed, sigma = after(found, run)
        distances.append(abs(math.log((run.readings.tokens_per_s or 0.0) / speed)) / (Z90 * sigma))
    assert sum(distance <= 1.0 for distance in distances) >= round(0.8 * len(runs))


@given(factor=st.floats(1.01, 1.6), base=st.floats(0.25, 2.9), at=st.integers(0, len(RECIPES) - 1))
@settings(max_examples=25, deadline=None)
def test_far_off_too_a_faster_run_makes_its_own_recipe_faster(factor: float, base: float, at: int) -> None:
    run = run_of(recipe=RECIPES[at])
    slow, fast = (made(read(run, tokens_per_s=times * modelled(run))) for times in (base, base * factor))
    assert after(fast, run)[0] / after(slow, run)[0] == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("wild", [0.25, 0.5, 2.0, 4.0])
def test_a_wild_row_among_good_ones_does_not_carry_the_fit_and_is_named(wild: float) -> None:
    runs = truth(1.1)
    speed = (runs[1].readings.tokens_per_s or 0.0) * wild
    found = made(*(read(run, tokens_per_s=speed) if at == 1 else run for at, run in enumerate(runs)))
    (card,) = found.stacks[0].cards
    assert card.factor == pytest.approx(1.1, rel=0.06)
    (said,) = card.warnings
    assert "does not belong to the others (hf on A100-SXM-80GB): run 1 (" in said


def test_runs_of_one_recipe_that_differ_are_named_and_covered() -> None:
    run = run_of(recipe=RECIPES[2])
    runs = [read(run, tokens_per_s=times * modelled(run)) for times in (4.0, 0.25)]
    found = made(*runs)
    (card,) = found.stacks[0].cards
    (said,) = card.warnings
    assert said.startswith(f"Runs of the same recipe (hf on {GPU}) differ by a factor of 16: run 1 (")
    assert ", run 0 (" in said
    speed, sigma = after(found, run)
    for one in runs:
        assert abs(math.log((one.readings.tokens_per_s or 0.0) / speed)) <= Z90 * sigma
    runs_of_it = calibrated(columns(run), np.array([GPU]), (card,))
    judged = with_measured_speed(estimate_throughput(runs_of_it, SPEED), runs_of_it, np.array([GPU]), (card,), SPEED)
    assert Basis.MEASURED.rank not in judged.basis
    again = made(*(read(run, tokens_per_s=times * modelled(run)) for times in (1.0, 1.2)))
    assert again.stacks[0].cards[0].warnings == ()


@pytest.mark.parametrize("times", [1e-3, 0.19, 5.3, 1e3])
def test_a_speed_out_of_bounds_is_refused_and_asks_for_its_unit(times: float) -> None:
    good, run = truth()[0], run_of(recipe=RECIPES[2])
    wrong = read(run, tokens_per_s=times * modelled(run), allocated_bytes=allocated(run))
    words = r"tokens/s are .* times the model's \(0\.2 to 5 are believed\): are they tokens.*not of one GPU\?"
    with pytest.raises(JobError, match=rf"test: runs = 1: at least one usable run \(run 0: .*{words}"):
        made(wrong)
    found = made(good, wrong)
    assert [one.where for one in found.skipped] == ["run 1"]
    assert found.stacks == made(good).stacks


@pytest.mark.parametrize(
    ("key", "read_bytes", "words"),
    [
        ("allocated_bytes", 40, "less than the weights alone (15 GiB a GPU)"),
        ("reserved_bytes", 17_000, "less than the weights alone (15 GiB a GPU)"),
        ("device_bytes", 90 * 2**30, "more than A100-SXM-80GB has (79.2 GiB a GPU)"),
    ],
)
def test_memory_in_another_unit_is_left_out_and_said(key: str, read_bytes: int, words: str) -> None:
    run = run_of(recipe=RECIPES[2])
    found = made(read(run, tokens_per_s=modelled(run), **{key: read_bytes}))
    (skipped,) = found.skipped
    assert skipped.reason == f"{key} = {read_bytes:,} is {words}, and is not used: is it in bytes, and of one GPU?"
    assert found.stacks[0].memory == ()
    assert [one.reading for one in found.runs[0].readings] == ["tokens_per_s"]
    with pytest.raises(JobError, match=r"at least one usable run .*is it in bytes"):
        made(read(run, **{key: read_bytes}))


def test_stacks_say_nothing_of_each_other() -> None:
    tuned = [replace(run, recipe=replace(run.recipe, stack=Stack.TORCHTUNE)) for run in truth()]
    tuned = [read(run, tokens_per_s=1.3 * modelled(run)) for run in tuned]
    both, alone = made(*truth(0.8), *tuned), made(*truth(0.8))
    assert [one.stack for one in both.stacks] == ["hf", "torchtune"]
    assert both.of("hf") == alone.of("hf")
    assert both.of("unsloth") is None


def test_runs_that_cannot_be_used_are_named_with_the_reason() -> None:
    good = truth()[0]
    found = made(
        good,
        replace(good, status=RunStatus.ERROR, error="no such module"),
        replace(good, gpu=None, gpu_name="NVIDIA GeForce 9000"),
        replace(good, readings=Readings(load_peak_bytes=10**9)),
        replace(good, recipe=replace(good.recipe, tuning=Tuning.FULL)),
    )
    reasons = {one.where: one.reason for one in found.skipped}
    assert reasons["run 1"] == "the run failed: no such module"
    assert reasons["run 2"] == "the GPU table does not know NVIDIA GeForce 9000"
    assert reasons["run 3"] == "it reads neither speed nor memory"
    assert reasons["run 4"].startswith("the recipe makes no sense: full fine-tuning trains every weight")
    assert len(found.runs) == 1


def test_without_a_usable_run_the_reasons_are_one_line() -> None:
    with pytest.raises(JobError, match=r"test: runs = 1: at least one usable run \(run 0: the run failed: boom\)"):
        made(run_of(status=RunStatus.ERROR, error="boom"))


def test_a_run_out_of_memory_is_held_against_the_calibrated_model() -> None:
    huge = run_of(recipe=recipe_of(micro_batch=64, seq_len=8192), status=RunStatus.OUT_OF_MEMORY)
    small = run_of(recipe=recipe_of(micro_batch=1, seq_len=256), status=RunStatus.OUT_OF_MEMORY)
    found = made(truth()[1], huge, small)
    verdicts = {round(one.needed_high / 1e9) > 80: one.fits for one in found.failed}
    assert verdicts == {True: False, False: True}
    assert {run.status for run in found.runs} == {"ok", "oom"}


def test_only_runs_out_of_memory_refit_nothing() -> None:
    found = made(run_of(recipe=recipe_of(micro_batch=64, seq_len=8192), status=RunStatus.OUT_OF_MEMORY))
    assert (found.stacks[0].cards, found.stacks[0].speed, found.stacks[0].memory) == ((), (), ())


def test_what_is_written_is_read_again_to_the_last_digit() -> None:
    found = made(*truth(0.9), replace(truth()[0], status=RunStatus.ERROR, error="boom"))
    text = json.dumps(calibration_document(found))
    assert parse_calibration(json.loads(text), where="calibration.json") == found


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("schema",), "tunefare.run/v1", r'schema = .*"tunefare\.calibration/v1"'),
        (("stacks",), [], r"stacks = \[\]: at least one stack, each once"),
        (("stacks", 0, "stack"), "homemade", r"stacks\[0\]\.stack = 'homemade': one of hf"),
        (
            ("stacks", 0, "cards", 0, "speed_factor"),
            -1.0,
            r"stacks\[0\]\.cards\[0\]\.speed_factor = -1\.0: a number",
        ),
        (("stacks", 0, "cards", 0, "speed_factor"), float("nan"), r"speed_factor = nan: a number of at least 0\.2"),
        (("stacks", 0, "cards", 0, "measured_speed", "method"), ["magic"], r"measured_speed\.method = .*lora-16bit"),
        (("stacks", 0, "cards", 0, "measured_speed", "gpus"), 8, r"measured_speed\.gpus = 8: a JSON object"),
        (("stacks", 0, "errors", 0, "rows"), 1.5, r"errors\[0\]\.rows = 1\.5: a whole number"),
        (("stacks", 0, "cards", 0, "speed_factor"), 10**400, r"speed_factor = 1000.*at least 0\.2 and at most 5"),
        (("stacks", 0, "cards", 0, "speed_factor"), 50.0, r"speed_factor = 50\.0: .*at most 5"),
        (
            ("stacks", 0, "cards", 0, "speed_sigma"),
            1e9,
            r"speed_sigma = 1000000000\.0: a number above 0 and at most 2\.6",
        ),
        (("stacks", 0, "cards", 0, "speed_rows"), 10**400, r"speed_rows = 'a number of more than 40 digits': a whole"),
        (("stacks", 0, "cards", 0, "warnings"), [1], r"warnings = \[1\]: a list of texts"),
        (("stacks", 0, "memory_sigma", "after"), 1e6, r"memory_sigma\.after = 1000000\.0: .*at most 3"),
        (("stacks", 0, "speed_constants", 0, "after"), 1e9, r"speed_constants\[0\]\.after = .*: a number of at least"),
        (("stacks", 0, "speed_constants", 0, "sigma_before"), 9.0, r"sigma_before = 9\.0: .*at most 2"),
        (("runs",), None, r"runs = .*: a list of objects"),
        (("model_sha256",), 3, r"model_sha256 = 3: a text"),
    ],
)
def test_a_damaged_calibration_names_file_and_key(path: tuple[Any, ...], value: object, complaint: str) -> None:
    document = json.loads(text_to_damage())
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(JobError, match=r"calibration\.json: .*" + complaint):
        parse_calibration(document, where="calibration.json")


def test_a_card_that_is_there_twice_is_refused() -> None:
    document = json.loads(text_to_damage())
    document["stacks"][0]["cards"] *= 2
    with pytest.raises(JobError, match=r"stacks\[0\]\.cards = \['A100-SXM-80GB', 'A100-SXM-80GB'\]: each card once"):
        parse_calibration(document, where="calibration.json")


def test_beyond_what_was_measured_the_interval_grows_to_that_of_the_model_at_most() -> None:
    run = run_of(recipe=recipe_of(micro_batch=4, seq_len=1024))
    found = made(read(run, tokens_per_s=1.2 * modelled(run)))

    def doubt(**changes: Any) -> tuple[float, float]:
        machine = {key: changes.pop(key) for key in ("gpus_per_node", "gpu") if key in changes}
        other = replace(run, recipe=replace(run.recipe, **changes), **machine)
        plain = estimate_throughput(columns(other), SPEED)
        return after(found, other)[1], float(plain.sigma_log[0])

    inside, uncalibrated = doubt()
    assert inside < uncalibrated
    assert doubt(micro_batch=8)[0] == pytest.approx(inside, rel=0.02)
    for changes in ({"micro_batch": 16}, {"micro_batch": 1, "seq_len": 512}, {"bits": 4}, {"tuning": Tuning.DORA}):
        wider, most = doubt(**changes)
        # The share of launches moves with the constants, and widens a little by itself.
        assert inside < wider <= most * 1.01, changes
    assert doubt(micro_batch=16)[0] < doubt(micro_batch=64)[0]
    assert doubt(gpu="H100-SXM-80GB") == pytest.approx((doubt(gpu="H100-SXM-80GB")[1],) * 2, rel=0.02)


def test_another_stack_is_left_to_the_model() -> None:
    found = made(*truth(0.8))
    cards = found.stacks[0].cards
    other = run_of(recipe=recipe_of(stack=Stack.TORCHTUNE))
    runs, plain = calibrated(columns(other), np.array([GPU]), cards), estimate_throughput(columns(other), SPEED)
    found = with_measured_speed(estimate_throughput(runs, SPEED), runs, np.array([GPU]), cards, SPEED)
    assert found.tokens_per_s.expected == modelled(other)
    assert (found.sigma_log, found.basis) == (plain.sigma_log, plain.basis)
