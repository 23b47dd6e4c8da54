from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import lambertw

from optimizer.search.spot.checkpoint_interval import (
    NOTICE_S,
    best_aged_interval_s,
    best_interval_s,
    daly_interval_s,
    waste_on_notice,
    wasted_fraction,
    young_interval_s,
)
from optimizer.search.spot.checkpoint_interval_hazard import AgeHazard
from optimizer.search.spot.closed_form import mean_times_s, one_run
from optimizer.search.spot.monte_carlo import simulate_aged_runs

HOUR_S = 3600.0
# Young machines are taken away a hundred times as often as old ones.
AGED = AgeHazard(edges_h=(0.0, 0.25, 1.0, 8.0, 32.0), per_hour=(2.2, 0.6, 0.2, 0.08, 0.02))


def flat(per_hour):
    return AgeHazard(edges_h=(0.0,), per_hour=(per_hour,))


def at(*values):
    return np.array(values, dtype=np.float64)


def test_young():
    assert young_interval_s(at(30.0), at(0.1 / HOUR_S))[0] == pytest.approx(math.sqrt(2 * 30 * 36_000))


def test_daly_gives_the_minutes_of_his_paper():
    # Daly 2006, figures 3 to 5: a checkpoint takes 5 minutes, means of 24 h, 6 h and 15 min between interruptions
    found = daly_interval_s(at(300.0), 1.0 / at(24 * HOUR_S, 6 * HOUR_S, 900.0)) / 60.0
    assert found == pytest.approx([117.0, 57.0, 9.1], abs=0.35)
    assert daly_interval_s(at(1000.0), at(1 / 400.0)) == [400.0]


def test_the_best_interval_is_lamberts_function():
    checkpoint, rate = at(5.0, 30.0, 600.0, 3000.0), at(0.005, 0.1, 1.0, 5.0) / HOUR_S
    exact = (1.0 + lambertw(-np.exp(-1.0 - checkpoint * rate)).real) / rate
    assert best_interval_s(checkpoint, rate) == pytest.approx(exact, rel=1e-9)


def test_the_best_interval_takes_the_least_time():
    rate, checkpoint = at(0.3 / HOUR_S), 120.0
    best = best_interval_s(at(checkpoint), rate)[0]

    def time_at(interval):
        # whole segments, so that no last one blurs the comparison
        return (
            mean_times_s(
                one_run(work_s=1000 * interval, segment_s=interval, checkpoint_s=checkpoint, restart_s=300.0), rate
            )[0][0]
            / interval
        )

    assert time_at(best) < min(time_at(best * 1.02), time_at(best / 1.02))


def test_no_interruptions_no_interval_and_free_checkpoints_all_the_time():
    for interval_s in (young_interval_s, daly_interval_s, best_interval_s):
        assert interval_s(at(30.0), at(0.0)) == [np.inf]
        assert interval_s(at(0.0), at(0.1)) == [0.0]


@pytest.mark.parametrize(("per_hour", "checkpoint"), [(0.02, 5.0), (0.1, 60.0), (1.0, 600.0)])
def test_a_flat_hazard_has_the_interval_of_its_rate(per_hour, checkpoint):
    found = best_aged_interval_s(hazard=flat(per_hour), checkpoint_s=checkpoint, restart_s=300.0)
    assert found == pytest.approx(best_interval_s(at(checkpoint), at(per_hour / HOUR_S))[0], rel=1e-3)


def test_the_waste_of_a_flat_hazard_is_dalys():
    rate, interval, checkpoint, restart = 0.2 / HOUR_S, 1500.0, 60.0, 400.0
    daly = math.exp(rate * restart) * (math.exp(rate * (interval + checkpoint)) - 1.0) / (rate * interval)
    found = wasted_fraction(interval, hazard=flat(0.2), checkpoint_s=checkpoint, restart_s=restart)
    assert found == pytest.approx(1.0 - 1.0 / daly, rel=1e-12)


def test_the_waste_by_age_against_machines_drawn():
    lives = AGED.age_at(np.random.default_rng(3).standard_exponential(400_000))
    kept = 1200.0 * np.floor(np.maximum(lives - 300.0, 0.0) / 1260.0)
    drawn = 1.0 - kept.sum() / lives.sum()
    assert wasted_fraction(1200.0, hazard=AGED, checkpoint_s=60.0, restart_s=300.0) == pytest.approx(drawn, abs=0.002)


def test_the_waste_by_age_against_long_runs():
    shape = one_run(work_s=400 * 1200.0, segment_s=1200.0, checkpoint_s=60.0, restart_s=300.0, startup_s=300.0)
    runs = simulate_aged_runs(shape, AGED, None, runs=1500, seed=1)
    simulated = 1.0 - 400 * 1200.0 / runs.billed_s.mean()
    # The last machine of a run is not kept to its end: a long run is nearly, not quite, a renewal process.
    assert wasted_fraction(1200.0, hazard=AGED, checkpoint_s=60.0, restart_s=300.0) == pytest.approx(
        simulated, abs=0.01
    )


def test_the_best_interval_by_age_beats_all_others_tried():
    best = best_aged_interval_s(hazard=AGED, checkpoint_s=60.0, restart_s=300.0)
    least = wasted_fraction(best, hazard=AGED, checkpoint_s=60.0, restart_s=300.0)
    others = [
        wasted_fraction(one, hazard=AGED, checkpoint_s=60.0, restart_s=300.0) for one in np.geomspace(60.0, 1e5, 40)
    ]
    assert least <= min(others)


def test_a_checkpoint_on_notice_saves_most_of_the_waste():
    gain = waste_on_notice(hazard=AGED, checkpoint_s=60.0, restart_s=180.0, notice_s=NOTICE_S["aws"])
    assert gain.usable
    assert gain.restart_fraction < gain.on_notice_waste_fraction < 0.6 * gain.periodic_waste_fraction
    assert gain.safety_interval_s > 3.0 * gain.interval_s


def test_on_notice_against_machines_drawn():
    gain = waste_on_notice(hazard=AGED, checkpoint_s=60.0, restart_s=180.0, notice_s=120.0, missed_fraction=0.1)
    rng = np.random.default_rng(7)
    lives = AGED.age_at(rng.standard_exponential(400_000))
    stride = gain.safety_interval_s + 60.0
    noticed = np.maximum(lives - 240.0, 0.0)
    kept = noticed - 60.0 * np.floor(noticed / stride)
    unnoticed = gain.safety_interval_s * np.floor(np.maximum(lives - 180.0, 0.0) / stride)
    drawn = 1.0 - np.where(rng.random(lives.size) < 0.1, unnoticed, kept).sum() / lives.sum()
    assert gain.on_notice_waste_fraction == pytest.approx(drawn, abs=0.002)


def test_a_checkpoint_longer_than_the_notice_gains_nothing():
    gain = waste_on_notice(hazard=AGED, checkpoint_s=60.0, restart_s=180.0, notice_s=NOTICE_S["gcp"])
    assert not gain.usable
    assert gain.on_notice_waste_fraction == gain.periodic_waste_fraction


def test_if_every_notice_is_missed_it_is_the_periodic_one():
    gain = waste_on_notice(hazard=AGED, checkpoint_s=60.0, restart_s=180.0, notice_s=120.0, missed_fraction=1.0)
    assert gain.on_notice_waste_fraction == pytest.approx(gain.periodic_waste_fraction, rel=1e-9)
    with pytest.raises(ValueError, match="missed_fraction"):
        waste_on_notice(hazard=AGED, checkpoint_s=60.0, restart_s=180.0, notice_s=120.0, missed_fraction=1.5)


def test_machines_that_are_kept_for_ever():
    forever = AgeHazard(edges_h=(0.0, 2.0), per_hour=(0.5, 0.0))
    assert forever.mean_s() == np.inf
    assert best_aged_interval_s(hazard=forever, checkpoint_s=60.0, restart_s=0.0) == np.inf
    assert wasted_fraction(540.0, hazard=forever, checkpoint_s=60.0, restart_s=0.0) == pytest.approx(0.1)
    assert (
        waste_on_notice(hazard=forever, checkpoint_s=60.0, restart_s=0.0, notice_s=120.0).on_notice_waste_fraction
        == 0.0
    )


def test_an_age_hazard_sums_and_inverts():
    hazard = AgeHazard(edges_h=(0.0, 1.0, 3.0, 4.0), per_hour=(0.5, 0.0, 2.0, 0.25))
    ages = at(0.0, 0.5, 1.0, 3.5, 4.0, 10.0) * HOUR_S
    assert hazard.cumulative(ages) == pytest.approx([0.0, 0.25, 0.5, 1.5, 2.5, 4.0])
    assert hazard.survival(ages) == pytest.approx(np.exp(-hazard.cumulative(ages)))
    # Nothing happens between 1 h and 3 h: the summed hazard 0.5 is passed at 3 h.
    assert hazard.age_at(at(0.0, 0.25, 0.5, 1.5, 2.5, 4.0)) / HOUR_S == pytest.approx([0.0, 0.5, 3.0, 3.5, 4.0, 10.0])
    drawn = hazard.age_at(np.random.default_rng(5).standard_exponential(200_000))
    assert hazard.mean_s() == pytest.approx(drawn.mean(), rel=0.02)
    assert hazard.mean_beyond_s(2.0 * HOUR_S) == pytest.approx(np.maximum(drawn - 2.0 * HOUR_S, 0.0).mean(), rel=0.02)


def test_strides_are_the_sum_over_survival():
    for first, stride in ((0.0, 700.0), (300.0, 1260.0), (5000.0, 90_000.0), (400_000.0, 50.0)):
        terms = AGED.survival(first + stride * np.arange(1, 200_000))
        assert AGED.mean_strides(first, stride) == pytest.approx(terms.sum(), rel=1e-9)


@pytest.mark.parametrize(
    ("edges", "rates", "named"),
    [
        ((), (), "edges_h"),
        ((1.0,), (0.1,), "edges_h"),
        ((0.0, 2.0, 2.0), (0.1, 0.1, 0.1), "edges_h"),
        ((0.0, 1.0), (0.1,), "per_hour"),
        ((0.0,), (-0.1,), "per_hour"),
        ((0.0,), (math.nan,), "per_hour"),
    ],
)
def test_hazards_that_cannot_be_are_named(edges, rates, named):
    with pytest.raises(ValueError, match=named):
        AgeHazard(edges_h=edges, per_hour=rates)
