"""The fit: finds what made the data, stays with the prior where nothing speaks, and is not carried away by one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from optimizer.measure.constant_paths import constant, with_constants
from optimizer.measure.fit import Parameter, fit_constants, robust, source_weights
from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.speed_constants import load_speed_constants
from providers.errors import SolverFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

X = np.linspace(1.0, 9.0, 9)
PARAMETERS = (Parameter(name="scale", prior=1.0, sigma=1.0), Parameter(name="power", prior=1.0, sigma=0.5))


def law(values: Mapping[str, float]) -> np.ndarray:
    result: np.ndarray = values["scale"] * X ** values["power"]
    return result


def test_finds_the_constants_that_made_the_data() -> None:
    found = fit_constants(PARAMETERS, law, 2.5 * X**1.3, deviation=np.full(9, 0.01))
    assert found.values["scale"] == pytest.approx(2.5, rel=0.01)
    assert found.values["power"] == pytest.approx(1.3, rel=0.01)
    assert found.sigmas["scale"] < 0.02
    assert np.abs(found.residuals).max() < 0.01 < np.abs(found.started).max()


def test_one_row_moves_the_prior_by_what_it_is_worth() -> None:
    one = (Parameter(name="scale", prior=1.0, sigma=0.2),)
    found = fit_constants(one, lambda values: np.array([values["scale"]]), np.array([1.1]), deviation=np.array([0.2]))
    # Equal weight of prior and measurement: half way, in logarithms.
    assert np.log(found.values["scale"]) == pytest.approx(np.log(1.1) / 2, rel=0.05)
    assert found.sigmas["scale"] == pytest.approx(0.2 / np.sqrt(2), rel=0.05)


def test_a_wild_row_does_not_carry_the_fit() -> None:
    measured = 2.0 * X
    measured[4] *= 20
    found = fit_constants(PARAMETERS, law, measured, deviation=np.full(9, 0.02))
    assert found.values["scale"] == pytest.approx(2.0, rel=0.03)


def test_what_no_row_speaks_of_stays_at_its_prior() -> None:
    silent = (*PARAMETERS, Parameter(name="silent", prior=7.0, sigma=0.3))
    found = fit_constants(silent, law, 2.0 * X, deviation=np.full(9, 0.02))
    assert found.values["silent"] == pytest.approx(7.0)
    assert found.sigmas["silent"] == pytest.approx(0.3)
    nothing = fit_constants(silent, lambda _: np.array([]), np.array([]), deviation=np.array([]))
    assert nothing.values["silent"] == pytest.approx(7.0)
    assert nothing.evaluations == 0


def test_bounds_hold() -> None:
    capped = (Parameter(name="scale", prior=1.0, sigma=1.0, high=1.5), PARAMETERS[1])
    found = fit_constants(capped, law, 9.0 * X, deviation=np.full(9, 0.02))
    assert found.values["scale"] <= 1.5


def test_order_changes_nothing_and_weights_count() -> None:
    measured = 2.0 * X ** np.where(X > 5, 1.1, 1.0)
    forward = fit_constants(PARAMETERS, law, measured, deviation=np.full(9, 0.05))
    again = fit_constants(PARAMETERS, law, measured, deviation=np.full(9, 0.05))
    assert forward.values == again.values
    only_short = fit_constants(PARAMETERS, law, measured, deviation=np.full(9, 0.05), weight=(X <= 5) * 1.0)
    assert abs(only_short.values["power"] - 1.0) < abs(forward.values["power"] - 1.0)


def test_a_prediction_without_a_value_is_an_error() -> None:
    with pytest.raises(SolverFailed, match="range"):
        fit_constants(PARAMETERS, lambda _: np.zeros(9), X, deviation=np.ones(9))


def test_the_loss_is_that_of_scipy() -> None:
    z = np.array([-5.0, -0.1, 0.0, 0.1, 3.0])
    assert robust(z) ** 2 == pytest.approx(2 * (np.sqrt(1 + z**2) - 1))
    assert np.sign(robust(z)).tolist() == np.sign(z).tolist()


def test_a_large_source_counts_as_so_many_rows() -> None:
    weights = source_weights(["big"] * 100 + ["small"] * 5, most=40)
    assert weights[:100].sum() == pytest.approx(40)
    assert weights[100:].tolist() == [1.0] * 5


def test_constants_are_read_and_replaced_by_name() -> None:
    speed, memory = load_speed_constants(), load_memory_constants()
    changed = with_constants(speed, {"launch_s.hf": 0.5, "sigma.moe": 0.25, "overlap": 0.1, "launch_s.nemo": 0.75})
    assert [constant(changed, name) for name in ("launch_s.hf", "launch_s.nemo", "sigma.moe", "overlap")] == [
        0.5, 0.75, 0.25, 0.1,
    ]  # fmt: skip
    assert constant(changed, "launch_s.litgpt") == constant(speed, "launch_s.litgpt")
    assert constant(speed, "launch_s.hf") != 0.5
    assert constant(with_constants(memory, {"logits.half_vocab": 7.0}), "logits.half_vocab") == 7.0
    for name in ("nothing", "sigma.nothing", "launch_s.nobody", "overlap.more", "launch_s", "sigma"):
        with pytest.raises(KeyError, match=name):
            constant(speed, name)
        with pytest.raises(KeyError):
            with_constants(speed, {name: 1.0})
