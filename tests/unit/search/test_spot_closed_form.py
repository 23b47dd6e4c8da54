from __future__ import annotations

import math

import numpy as np
import pytest

from optimizer.search.spot.closed_form import (
    RateSpread,
    RunShape,
    finish_probability,
    finish_quantile,
    mean_times_s,
    one_run,
    spot_moments,
)
from optimizer.search.spot.closed_form_segments import cut_off_moments
from optimizer.search.spot.monte_carlo import simulate_runs

HOUR_S = 3600.0
NO = np.zeros(1)


def at(*values):
    return np.array(values, dtype=np.float64)


ASSUMED = RateSpread.of(low_per_s=at(0.02 / HOUR_S), expected_per_s=at(0.1 / HOUR_S), high_per_s=at(0.4 / HOUR_S))


def walk(rng, *, rate, work, segment, checkpoint, restart, startup, wait):
    """One run, machine by machine and second by second of its story: elapsed, billed, interruptions, lost."""
    left, ready, elapsed, billed, count, lost = work, startup, 0.0, 0.0, 0, 0.0
    while True:
        up = rng.exponential(1.0 / rate)
        clock = ready
        while clock <= up and left > 1e-9:
            step = min(segment, left) + checkpoint
            if clock + step > up:
                break
            clock, left = clock + step, left - min(segment, left)
        if left <= 1e-9 and clock <= up:
            return elapsed + clock, billed + clock, count, lost
        lost += max(up - clock, 0.0)
        billed, count, ready = billed + up, count + 1, restart
        elapsed += up + (rng.exponential(wait) if wait else 0.0)


def test_without_interruptions_the_undisturbed_time():
    shape = one_run(
        work_s=10_000.0, segment_s=3000.0, checkpoint_s=20.0, restart_s=300.0, startup_s=600.0, wait_mean_s=60.0
    )
    found = spot_moments(shape, NO)
    # three whole segments and one of 1,000 s: four checkpoints
    assert found.elapsed_mean_s == found.billed_mean_s == found.undisturbed_s == [10_680.0]
    assert found.elapsed_sd_s == found.lost_s == found.interruptions == found.waiting_s == found.restarting_s == [0.0]
    assert found.calm_probability == [1.0]
    assert finish_probability(shape, NO, NO, at(10_679.9, 10_680.0)).tolist() == [0.0, 1.0]
    assert finish_quantile(shape, NO, NO, at(0.01, 0.99)) == pytest.approx([10_680.0, 10_680.0], rel=1e-9)


def test_no_work_is_a_start_up():
    shape = one_run(work_s=0.0, segment_s=3000.0, checkpoint_s=20.0, restart_s=300.0, startup_s=600.0)
    assert spot_moments(shape, NO).elapsed_mean_s == [600.0]
    nothing = one_run(work_s=0.0, segment_s=3000.0, checkpoint_s=20.0, restart_s=300.0)
    found = spot_moments(nothing, at(1.0))
    assert found.elapsed_mean_s == found.elapsed_sd_s == [0.0]
    assert finish_probability(nothing, at(1.0), at(0.2), at(0.0, 1.0)).tolist() == [1.0, 1.0]


def test_whole_segments_are_daly():
    rate, segment, checkpoint, restart = 0.5 / HOUR_S, 1800.0, 60.0, 360.0
    found = spot_moments(
        one_run(work_s=18_000.0, segment_s=segment, checkpoint_s=checkpoint, restart_s=restart), at(rate)
    )
    daly = 10 * math.exp(rate * restart) * (math.exp(rate * (segment + checkpoint)) - 1.0) / rate
    assert found.elapsed_mean_s[0] == pytest.approx(daly, rel=1e-12)


def test_a_last_partial_segment_and_the_start_up_by_hand():
    rate = 1.0 / HOUR_S
    shape = one_run(work_s=2400.0, segment_s=1800.0, checkpoint_s=60.0, restart_s=360.0, startup_s=600.0)
    # E[first] = (1 - e^(-r (600 + 1860))) e^(r (360 + 1860)) / r; the last one has 600 s of work
    first = (1.0 - math.exp(-rate * 2460.0)) * math.exp(rate * 2220.0) / rate
    last = math.exp(rate * 360.0) * (math.exp(rate * 660.0) - 1.0) / rate
    assert spot_moments(shape, at(rate)).billed_mean_s[0] == pytest.approx(first + last, rel=1e-12)


def test_a_rounding_error_is_no_segment():
    parts = [one_run(work_s=work, segment_s=0.1, checkpoint_s=5.0, restart_s=1.0) for work in (0.3, 0.1 * 3, 0.7)]
    assert [float(shape.checkpoints()[0]) for shape in parts] == [3.0, 3.0, 7.0]


@pytest.mark.parametrize("startup", [0.0, 900.0])
def test_against_a_run_told_step_by_step(startup):
    rng = np.random.default_rng(8)
    story = {"work": 8000.0, "segment": 1500.0, "checkpoint": 40.0, "restart": 500.0, "startup": startup, "wait": 700.0}
    told = np.array([walk(rng, rate=0.8 / HOUR_S, **story) for _ in range(6000)])
    shape = one_run(
        work_s=8000.0, segment_s=1500.0, checkpoint_s=40.0, restart_s=500.0, startup_s=startup, wait_mean_s=700.0
    )
    found = spot_moments(shape, at(0.8 / HOUR_S))
    means = (found.elapsed_mean_s[0], found.billed_mean_s[0], found.interruptions[0], found.lost_s[0])
    noise = told.std(axis=0) / math.sqrt(len(told))
    assert (np.abs(told.mean(axis=0) - means) < 4.0 * noise).all()
    assert (found.elapsed_sd_s[0], found.billed_sd_s[0]) == pytest.approx(told.std(axis=0)[:2], rel=0.04)
    simulated = simulate_runs(shape, 0.8 / HOUR_S, runs=20_000, seed=2)
    assert (simulated.elapsed_s.mean(), simulated.lost_s.mean()) == pytest.approx((means[0], means[3]), rel=0.02)


@pytest.mark.parametrize(
    ("rate", "segment", "checkpoint", "restart", "work"),
    [
        (0.005, 14_400.0, 60.0, 600.0, 200.0),
        (0.02, 1800.0, 5.0, 1800.0, 100.0),
        (0.1, 300.0, 5.0, 60.0, 20.0),
        (0.1, 14_400.0, 600.0, 600.0, 48.0),
        (0.3, 1800.0, 60.0, 300.0, 48.0),
        (1.0, 300.0, 30.0, 60.0, 2.0),
        (1.0, 1800.0, 60.0, 1800.0, 20.0),
    ],
)
def test_mean_deviation_and_late_finish_against_simulation(rate, segment, checkpoint, restart, work):
    shape = one_run(
        work_s=work * HOUR_S,
        segment_s=segment,
        checkpoint_s=checkpoint,
        restart_s=restart,
        startup_s=600.0,
        wait_mean_s=900.0,
    )
    runs = simulate_runs(shape, rate / HOUR_S, runs=60_000, seed=4)
    found = spot_moments(shape, at(rate / HOUR_S))
    assert 1.0 < found.interruptions[0] < 200.0
    assert found.elapsed_mean_s[0] == pytest.approx(runs.elapsed_s.mean(), rel=0.01)
    assert found.billed_mean_s[0] == pytest.approx(runs.billed_s.mean(), rel=0.01)
    assert found.elapsed_sd_s[0] == pytest.approx(runs.elapsed_s.std(), rel=0.015)
    assert found.lost_s[0] == pytest.approx(runs.lost_s.mean(), rel=0.02)
    late = finish_quantile(shape, at(rate / HOUR_S), NO, at(0.5, 0.95))
    assert late == pytest.approx(np.quantile(runs.elapsed_s, [0.5, 0.95]), rel=0.01)


def test_few_interruptions_keep_the_part_without_any():
    shape = one_run(work_s=10 * HOUR_S, segment_s=3600.0, checkpoint_s=30.0, restart_s=600.0, wait_mean_s=600.0)
    rate = at(0.03 / HOUR_S)
    runs = simulate_runs(shape, rate[0], runs=40_000, seed=9)
    calm = math.exp(-0.03 * (10 * HOUR_S + 300.0) / HOUR_S)
    assert finish_probability(shape, rate, NO, shape.undisturbed_s())[0] == pytest.approx(calm, abs=1e-3)
    assert finish_probability(shape, rate, NO, shape.undisturbed_s() - 1.0) == [0.0]
    for share in (0.8, 0.9, 0.99):
        late = np.quantile(runs.elapsed_s, share)
        assert finish_probability(shape, rate, NO, at(late))[0] == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(("sigma", "parts", "off"), [(0.1, 1, 0.01), (0.35, 1, 0.03), (0.35, 9, 0.012)])
def test_an_uncertain_throughput_against_simulation(sigma, parts, off):
    shape = one_run(
        work_s=30 * HOUR_S, segment_s=1800.0, checkpoint_s=60.0, restart_s=600.0, startup_s=600.0, wait_mean_s=900.0
    )
    runs = simulate_runs(shape, 0.2 / HOUR_S, runs=60_000, seed=6, sigma_log=sigma)
    wanted = at(0.1, 0.5, 0.9, 0.95)
    late = finish_quantile(shape, at(0.2 / HOUR_S), at(sigma), wanted, parts=parts)
    assert late == pytest.approx(np.quantile(runs.elapsed_s, wanted), rel=off)


def test_without_interruptions_the_chance_constraint_is_exact():
    shape = one_run(work_s=30 * HOUR_S, segment_s=1800.0, checkpoint_s=60.0, restart_s=600.0, startup_s=600.0)
    late = 600.0 + 60 * 60.0 + 30 * HOUR_S * math.exp(0.3 * 1.2815515655446004)
    assert finish_probability(shape, NO, at(0.3), at(late))[0] == pytest.approx(0.9, abs=1e-9)
    assert finish_quantile(shape, NO, at(0.3), at(0.9))[0] == pytest.approx(late, rel=1e-9)


def test_a_spread_of_rates_is_their_mixture_and_widens():
    shape = one_run(work_s=48 * HOUR_S, segment_s=1800.0, checkpoint_s=60.0, restart_s=600.0, wait_mean_s=1800.0)
    spread = ASSUMED
    assert spread.weights.sum() == pytest.approx(1.0)
    within = at(60 * HOUR_S)
    each = [finish_probability(shape, rate, at(0.1), within, parts=1)[0] for rate in spread.rates_per_s]
    found = finish_probability(shape, spread, at(0.1), within, parts=1)[0]
    assert found == pytest.approx(spread.weights @ np.array(each), abs=1e-12)
    certain = finish_quantile(shape, at(0.1 / HOUR_S), at(0.1), at(0.05, 0.95), parts=1)
    uncertain = finish_quantile(shape, spread, at(0.1), at(0.05, 0.95), parts=1)
    assert uncertain[0] < certain[0]
    assert uncertain[1] > certain[1]
    assert finish_probability(shape, spread, at(0.1), uncertain, parts=1) == pytest.approx([0.05, 0.95], abs=1e-9)


def test_every_run_has_its_own_spread_of_rates():
    shape = one_run(work_s=48 * HOUR_S, segment_s=1800.0, checkpoint_s=60.0, restart_s=600.0, wait_mean_s=1800.0)
    middle = at(0.05, 0.1, 0.4) / HOUR_S
    within = at(60 * HOUR_S)
    together = RateSpread.of(low_per_s=middle / 3.0, expected_per_s=middle, high_per_s=middle * 2.0)
    found = finish_probability(shape, together, NO, within)
    for k, rate in enumerate(middle):
        alone = RateSpread.of(low_per_s=at(rate / 3.0), expected_per_s=at(rate), high_per_s=at(rate * 2.0))
        assert found[k] == pytest.approx(finish_probability(shape, alone, NO, within)[0], abs=1e-12)
    # One rate in all three numbers is that rate.
    sure = RateSpread.of(low_per_s=middle, expected_per_s=middle, high_per_s=middle)
    assert finish_probability(shape, sure, NO, within) == pytest.approx(finish_probability(shape, middle, NO, within))


def test_a_spread_of_rates_against_simulation():
    shape = one_run(work_s=20 * HOUR_S, segment_s=1800.0, checkpoint_s=60.0, restart_s=600.0, wait_mean_s=1800.0)
    spread = ASSUMED
    z = np.random.default_rng(1).standard_normal(400)
    sides = np.where(z < 0.0, math.log(5.0), math.log(4.0)) / 1.2815515655446004
    rates = 0.1 / HOUR_S * np.exp(z * sides)
    drawn = np.concatenate([simulate_runs(shape, rate, runs=60, seed=k).elapsed_s for k, rate in enumerate(rates)])
    for hours in (22.0, 26.0, 34.0):
        found = finish_probability(shape, spread, NO, at(hours * HOUR_S))[0]
        assert found == pytest.approx((drawn <= hours * HOUR_S).mean(), abs=0.05)


def test_cut_off_moments_at_the_seam_and_the_ends():
    found = cut_off_moments(at(0.0, 1.0, np.nextafter(1.0, 2.0), 1e9))
    assert [moment[0] for moment in found] == pytest.approx([1 / 2, 1 / 3, 1 / 4], rel=1e-15)
    # by hand: integral of x e^-x over integral of e^-x, 0 to 1
    assert found.first[1] == pytest.approx((1.0 - 2.0 / math.e) / (1.0 - 1.0 / math.e), rel=1e-14)
    for moment in found:
        assert moment[1] == pytest.approx(moment[2], rel=1e-13)
    assert [moment[3] for moment in found] == pytest.approx([1e-9, 2e-18, 6e-27], rel=1e-9)


def test_cut_off_moments_between_by_quadrature():
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x, exponents = (nodes + 1.0) / 2.0, at(1e-6, 0.03, 0.7, 3.0, 20.0)
    for k, found in enumerate(cut_off_moments(exponents), start=1):
        density = np.exp(-exponents[:, None] * x) * weights
        assert found == pytest.approx((density * x**k).sum(axis=1) / density.sum(axis=1), rel=1e-10)


def test_a_run_that_never_ends_stays_finite():
    shape = one_run(work_s=1e7, segment_s=1e6, checkpoint_s=600.0, restart_s=1e5, startup_s=600.0, wait_mean_s=1e6)
    found = spot_moments(shape, at(1e-3, 1.0, 1e6))
    for name in type(found).__slots__:
        assert np.isfinite(getattr(found, name)).all(), name
    assert finish_probability(shape, at(1.0), at(0.3), at(1e9))[0] == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(finish_quantile(shape, at(1.0), at(0.3), at(0.9))).all()


def test_no_rows_no_answer():
    empty = np.zeros(0)
    shape = RunShape(**dict.fromkeys(RunShape.__slots__, empty))
    assert spot_moments(shape, at(0.1)).elapsed_mean_s.shape == (0,)
    assert finish_probability(shape, at(0.1), NO, empty).shape == (0,)
    assert mean_times_s(shape, at(0.1))[0].shape == (0,)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"work_s": -1.0}, "work_s"),
        ({"restart_s": math.nan}, "restart_s"),
        ({"segment_s": 0.0}, "segment_s"),
        ({"wait_mean_s": 10.0, "wait_second_moment_s2": 50.0}, "wait_second_moment_s2"),
    ],
)
def test_columns_that_cannot_be_are_named(change, named):
    with pytest.raises(ValueError, match=named):
        one_run(**{"work_s": 10.0, "segment_s": 5.0, "checkpoint_s": 1.0, "restart_s": 1.0} | change)


def test_rates_and_probabilities_that_cannot_be_are_named():
    shape = one_run(work_s=10.0, segment_s=5.0, checkpoint_s=1.0, restart_s=1.0)
    with pytest.raises(ValueError, match="rate_per_s"):
        spot_moments(shape, at(-1.0))
    with pytest.raises(ValueError, match="rate_per_s"):
        finish_probability(shape, at(math.inf), NO, at(5.0))
    with pytest.raises(ValueError, match="sigma_log"):
        finish_probability(shape, at(0.1), at(math.nan), at(5.0))
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        finish_quantile(shape, at(0.1), NO, at(1.0))
    with pytest.raises(ValueError, match="low <= expected"):
        RateSpread.of(low_per_s=at(2.0), expected_per_s=at(1.0), high_per_s=at(3.0))
    with pytest.raises(ValueError, match="finite"):
        RateSpread.of(low_per_s=at(2.0), expected_per_s=at(3.0), high_per_s=at(math.inf))
