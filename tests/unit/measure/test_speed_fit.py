from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.measure.constant_paths import constant, with_constants
from optimizer.measure.fit import Parameter
from optimizer.measure.record import MeasuredRun, Readings
from optimizer.measure.speed_fit import (
    PARAMETERS,
    bearing,
    fit_speed,
    leave_out,
    left_out_with,
    measured_speeds,
    predicted,
    speeds,
    tabulate_runs,
    whole_source,
)
from optimizer.measure.speed_table import PublishedSpeed, load_speed_table
from optimizer.physics.axes import Stack, Tuning
from optimizer.physics.recipe import Recipe
from optimizer.physics.speed_constants import load_speed_constants
from optimizer.physics.throughput import estimate_throughput
from optimizer.workload.models import load_models

CONSTANTS = load_speed_constants()
MODELS = load_models()


def run(group: str, *, model: str = "Llama-2-7b-hf", stack: Stack = Stack.HF, seq_len: int = 2048) -> MeasuredRun:
    recipe = Recipe(tuning=Tuning.FULL, stack=stack, stack_known=True, seq_len=seq_len, micro_batch=4)
    return MeasuredRun(
        model=MODELS.resolve(model), recipe=recipe, gpu="A100-SXM-80GB", group=group,
        readings=Readings(tokens_per_s=1.0),
    )  # fmt: skip


def as_measured(runs: list[MeasuredRun], changes: dict[str, float]) -> list[MeasuredRun]:
    """Return the runs with the speeds that other constants give."""
    found = speeds(tabulate_runs(runs), with_constants(CONSTANTS, changes))
    return [
        replace(one, readings=Readings(tokens_per_s=float(speed))) for one, speed in zip(runs, found, strict=True)
    ]  # fmt: skip


def published(one: MeasuredRun, family: str = "Llama-2") -> PublishedSpeed:
    return PublishedSpeed(run=one, family=family, note="", unfitted="")


def test_every_free_constant_exists_within_its_bounds():
    names = [parameter.name for parameter in PARAMETERS]
    assert len(set(names)) == len(names)
    for parameter in PARAMETERS:
        assert parameter.low <= parameter.prior <= parameter.high
        assert parameter.low <= constant(CONSTANTS, parameter.name) <= parameter.high


def test_speeds_are_those_of_the_estimate():
    runs = tabulate_runs([row.run for row in load_speed_table()])
    expected = estimate_throughput(runs, CONSTANTS).tokens_per_s.expected
    assert speeds(runs, CONSTANTS) == pytest.approx(expected)


def test_a_constant_is_found_again():
    rows = [
        run("a", seq_len=length, model=model) for length in (512, 4096) for model in ("Llama-2-7b-hf", "Llama-3-8B")
    ]
    measured = as_measured(rows, {"elementwise_bytes.hf": 80.0})
    free = (Parameter(name="elementwise_bytes.hf", prior=120.0, sigma=20.0),)
    found = fit_speed(measured, CONSTANTS, free)
    assert found.values["elementwise_bytes.hf"] == pytest.approx(80.0, rel=0.02)
    assert np.abs(found.residuals).max() < 0.01


def test_what_no_row_bears_on_stays_at_its_prior():
    measured = as_measured([run("a"), run("b")], {})
    found = fit_speed(measured, CONSTANTS)
    for name in ("launch_s.nemo", "architecture_factor.hopper", "dequantisation_bytes", "pcie_efficiency"):
        prior = next(one.prior for one in PARAMETERS if one.name == name)
        assert found.values[name] == pytest.approx(prior, rel=1e-4)


def test_rows_bear_on_what_their_time_goes_to():
    rows = bearing(
        tabulate_runs([run("a"), run("b", stack=Stack.NEMO)]), CONSTANTS,
        {name: constant(CONSTANTS, name) for name in ("matrix_efficiency.hf", "matrix_efficiency.nemo", "overlap")},
    )  # fmt: skip
    assert rows["matrix_efficiency.hf"].tolist() == [True, False]
    assert rows["matrix_efficiency.nemo"].tolist() == [False, True]
    assert not rows["overlap"].any()


def test_a_source_is_left_out_whole_where_another_has_its_stack():
    table = [published(run("a")), published(run("b")), published(run("b", stack=Stack.NEMO))]
    assert [left_out_with(row, table) for row in table] == ["a", "b", "b"]


def test_of_the_only_source_of_a_stack_a_family_a_size_or_a_card_is_left_out():
    nemo = Stack.NEMO
    families = [published(run("a", stack=nemo)), published(run("a", stack=nemo), family="Llama-3")]
    assert [left_out_with(row, families) for row in families] == ["a, Llama-2", "a, Llama-3"]
    sizes = [published(run("a", stack=nemo)), published(run("a", stack=nemo, model="Llama-2-70b-hf"))]
    assert [left_out_with(row, sizes) for row in sizes] == ["a, 1B to 10B", "a, above 10B"]
    cards = [published(run("a", stack=nemo))]
    assert left_out_with(cards[0], cards) == "a, A100-SXM-80GB"
    assert whole_source(families[1], families) == "a"


def test_a_left_out_source_does_not_predict_itself():
    slow = as_measured([run("a", seq_len=length) for length in (512, 1024, 4096)], {"elementwise_bytes.hf": 110.0})
    halved = [
        replace(one, group="b", readings=Readings(tokens_per_s=(one.readings.tokens_per_s or 0) / 2)) for one in slow
    ]
    table = [published(one) for one in (*slow, *halved)]
    found = leave_out(table, CONSTANTS)
    assert found.unit == ("a",) * 3 + ("b",) * 3
    assert (found.log_error[:3] < -0.2).all()
    assert (found.log_error[3:] > 0.2).all()
    one = leave_out(table, CONSTANTS, only={"b"})
    assert np.isnan(one.log_error[:3]).all()
    assert one.log_error[3:] == pytest.approx(found.log_error[3:])


def test_rows_are_judged_by_their_interval():
    rows = as_measured([run("a"), run("a", seq_len=4096)], {})
    far = [rows[0], replace(rows[1], readings=Readings(tokens_per_s=10.0 * (rows[1].readings.tokens_per_s or 0)))]
    found = predicted(tabulate_runs(far), measured_speeds(far), CONSTANTS)
    assert found.inside.tolist() == [True, False]
    assert found.relative == pytest.approx([0.0, -0.9])
    assert (found.low < 1.0).all()
    assert (found.high > 1.0).all()
