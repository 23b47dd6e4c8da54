"""Laws of runs under interruptions, on random shapes and rates."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optimizer.search.spot.checkpoint_interval import best_interval_s, young_interval_s
from optimizer.search.spot.closed_form import (
    RunShape,
    SpotMoments,
    finish_probability,
    finish_quantile,
    mean_times_s,
    one_run,
    spot_moments,
)

HOUR_S = 3600.0
law = settings(max_examples=60, derandomize=True, deadline=None)

shapes = st.builds(
    one_run,
    work_s=st.floats(0.0, 200 * HOUR_S),
    segment_s=st.floats(60.0, 6 * HOUR_S),
    checkpoint_s=st.floats(0.0, 900.0),
    restart_s=st.floats(0.0, HOUR_S),
    startup_s=st.floats(0.0, HOUR_S),
    wait_mean_s=st.floats(0.0, 4 * HOUR_S),
)
rates = st.one_of(st.just(0.0), st.floats(1e-9, 2.0)).map(lambda per_hour: np.array([per_hour / HOUR_S]))
sigmas = st.sampled_from((0.0, 0.05, 0.2, 0.4)).map(lambda sigma: np.array([sigma]))


@law
@given(shape=shapes, rate=rates)
def test_interruptions_are_the_rate_times_the_seconds_held_and_parts_sum_to_the_bill(shape, rate):
    found = spot_moments(shape, rate)
    assert found.interruptions == pytest.approx(rate * found.billed_mean_s)
    assert found.elapsed_mean_s == pytest.approx(found.billed_mean_s + found.waiting_s)
    # Start-up until it is done or interrupted, restarts, what was lost, and what the run is about.
    exponent = rate * shape.startup_s
    begun = np.where(exponent > 0.0, -np.expm1(-exponent) / np.where(rate > 0.0, rate, 1.0), shape.startup_s)
    useful = shape.work_s + shape.checkpoints() * shape.checkpoint_s
    assert found.billed_mean_s == pytest.approx(begun + found.restarting_s + found.lost_s + useful, rel=3e-9)


@law
@given(shape=shapes, rate=rates)
def test_the_means_for_a_ranking_are_those_of_all_moments(shape, rate):
    elapsed, held = mean_times_s(shape, rate)
    found = spot_moments(shape, rate)
    # A remainder of 10^-9 segments is rounding to one and counted by the other.
    assert elapsed == pytest.approx(found.elapsed_mean_s, rel=3e-9)
    assert held == pytest.approx(found.billed_mean_s, rel=3e-9)


@law
@given(shape=shapes, rate=rates, more=st.floats(1.0, 3.0))
def test_more_of_anything_never_takes_less(shape, rate, more):
    # A restart that is quicker than the start would make a machine that is lost while it starts a gain.
    assume((shape.restart_s >= shape.startup_s * more).all())
    base = spot_moments(shape, rate)
    worse = spot_moments(shape, rate * more)
    for name in ("elapsed_mean_s", "billed_mean_s", "interruptions", "lost_s"):
        assert (getattr(worse, name) >= getattr(base, name) * (1.0 - 1e-9)).all()
    for name in ("work_s", "checkpoint_s", "restart_s", "startup_s"):
        larger = spot_moments(replace(shape, **{name: getattr(shape, name) * more}), rate)
        assert (larger.billed_mean_s >= base.billed_mean_s * (1.0 - 1e-9)).all()
    waiting = replace(
        shape,
        wait_mean_s=shape.wait_mean_s * more,
        wait_second_moment_s2=shape.wait_second_moment_s2 * more**2,
    )
    longer = spot_moments(waiting, rate)
    assert (longer.elapsed_mean_s >= base.elapsed_mean_s * (1.0 - 1e-9)).all()
    assert (longer.elapsed_sd_s >= base.elapsed_sd_s * (1.0 - 1e-9)).all()
    assert longer.billed_mean_s == pytest.approx(base.billed_mean_s)


@law
@given(shape=shapes, rate=rates, factor=st.floats(0.01, 100.0))
def test_another_unit_of_time_changes_nothing(shape, rate, factor):
    scaled = RunShape(
        **{
            field.name: getattr(shape, field.name) * (factor**2 if field.name.endswith("s2") else factor)
            for field in fields(RunShape)
        }
    )
    # Times next to nothing and intervals next to whole may round to another number of segments.
    assume((scaled.full_segments(), scaled.checkpoints()) == (shape.full_segments(), shape.checkpoints()))
    base, found = spot_moments(shape, rate), spot_moments(scaled, rate / factor)
    for name in ("elapsed_mean_s", "elapsed_sd_s", "billed_mean_s", "billed_sd_s", "lost_s"):
        assert getattr(found, name) == pytest.approx(getattr(base, name) * factor, rel=1e-6, abs=1e-6)


@settings(max_examples=20, derandomize=True, deadline=None)
@given(rows=st.lists(st.tuples(shapes, rates, sigmas), min_size=1, max_size=5), within_h=st.floats(1.0, 300.0))
def test_columns_are_their_rows_in_any_order(rows, within_h):
    rows = [*rows, *reversed(rows)]
    together = RunShape(
        **{name: np.concatenate([getattr(shape, name) for shape, _, _ in rows]) for name in RunShape.__slots__}
    )
    rate, sigma = (np.concatenate([row[k] for row in rows]) for k in (1, 2))
    within = np.array([within_h * HOUR_S])
    moments, probability = spot_moments(together, rate), finish_probability(together, rate, sigma, within)
    for k, (shape, one_rate, one_sigma) in enumerate(rows):
        alone = spot_moments(shape, one_rate)
        for name in SpotMoments.__slots__:
            assert getattr(moments, name)[k] == pytest.approx(getattr(alone, name)[0], rel=1e-9, abs=1e-9)
        assert probability[k] == pytest.approx(finish_probability(shape, one_rate, one_sigma, within)[0], abs=1e-6)


@law
@given(shape=shapes, rate=rates, sigma=sigmas, parts=st.sampled_from((1, 9)))
def test_probabilities_rise_with_time_from_0_to_1_and_quantiles_invert_them(shape, rate, sigma, parts):
    assume(float(shape.undisturbed_s()[0]) > 1.0)
    times = float(shape.undisturbed_s()[0]) * np.geomspace(1e-3, 1e4, 60)
    found = finish_probability(shape, rate, sigma, times, parts=parts)
    assert (found >= 0.0).all()
    assert (found <= 1.0 + 1e-12).all()
    assert (np.diff(found) >= -1e-12).all()
    assert found[0] < 1e-6
    wanted = np.array([0.1, 0.5, 0.9, 0.99])
    late = finish_quantile(shape, rate, sigma, wanted, parts=parts)
    assert (np.diff(late) >= 0.0).all()
    assert (finish_probability(shape, rate, sigma, late * (1.0 + 1e-9), parts=parts) >= wanted - 1e-6).all()
    assert (finish_probability(shape, rate, sigma, late * (1.0 - 1e-9), parts=parts) <= wanted + 1e-4).all()


@law
@given(rate=st.floats(1e-3, 5.0), checkpoint=st.floats(0.1, 3600.0), other=st.floats(0.2, 5.0))
def test_no_interval_beats_the_best_one(rate, checkpoint, other):
    rate_per_s, write = np.array([rate / HOUR_S]), np.array([checkpoint])
    best = best_interval_s(write, rate_per_s)

    def time_per_work(interval):
        return np.expm1(rate_per_s * (interval + write)) / interval

    assert (best <= young_interval_s(write, rate_per_s) * (1.0 + 1e-12)).all()
    assert (time_per_work(best) <= time_per_work(best * other) * (1.0 + 1e-12)).all()
