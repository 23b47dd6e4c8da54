from __future__ import annotations

import numpy as np
import pytest

from optimizer.search.spot.checkpoint_interval_hazard import AgeHazard
from optimizer.search.spot.closed_form import RunShape, one_run, spot_moments
from optimizer.search.spot.monte_carlo import SimulatedRuns, simulate_aged_runs, simulate_runs

HOUR_S = 3600.0
RATE = 0.4 / HOUR_S
SHAPE = one_run(
    work_s=20_000.0, segment_s=1500.0, checkpoint_s=40.0, restart_s=500.0, startup_s=900.0, wait_mean_s=700.0
)
FLAT = AgeHazard(edges_h=(0.0,), per_hour=(0.4,))


def as_bytes(runs):
    return [getattr(runs, name).tobytes() for name in SimulatedRuns.__slots__]


def test_equal_seeds_give_equal_bytes():
    assert as_bytes(simulate_runs(SHAPE, RATE, runs=500, seed=1)) == as_bytes(
        simulate_runs(SHAPE, RATE, runs=500, seed=1)
    )
    assert as_bytes(simulate_runs(SHAPE, RATE, runs=500, seed=1)) != as_bytes(
        simulate_runs(SHAPE, RATE, runs=500, seed=2)
    )
    one, other = (simulate_aged_runs(SHAPE, FLAT, FLAT, runs=500, seed=1) for _ in range(2))
    assert as_bytes(one) == as_bytes(other)


@pytest.mark.parametrize("aged", [False, True])
def test_a_constant_hazard_is_the_closed_form(aged):
    runs = (
        simulate_aged_runs(SHAPE, FLAT, None, runs=40_000, seed=3)
        if aged
        else simulate_runs(SHAPE, RATE, runs=40_000, seed=3)
    )
    exact = spot_moments(SHAPE, np.array([RATE]))
    pairs = (
        (runs.elapsed_s, exact.elapsed_mean_s),
        (runs.billed_s, exact.billed_mean_s),
        (runs.interruptions, exact.interruptions),
        (runs.lost_s, exact.lost_s),
    )
    for drawn, mean in pairs:
        assert abs(drawn.mean() - mean[0]) < 4.0 * drawn.std() / np.sqrt(drawn.size)
    assert exact.elapsed_sd_s[0] == pytest.approx(runs.elapsed_s.std(), rel=0.03)
    assert exact.billed_sd_s[0] == pytest.approx(runs.billed_s.std(), rel=0.03)
    assert (runs.interruptions == 0).mean() == pytest.approx(exact.calm_probability[0], abs=0.01)


@pytest.mark.parametrize("aged", [False, True])
def test_what_every_run_keeps(aged):
    runs = (
        simulate_aged_runs(SHAPE, FLAT, FLAT, runs=3000, seed=3)
        if aged
        else simulate_runs(SHAPE, RATE, runs=3000, seed=3)
    )
    calm = runs.interruptions == 0
    undisturbed = float(SHAPE.undisturbed_s()[0])
    assert calm.any()
    assert runs.elapsed_s[calm] == pytest.approx(undisturbed)
    assert (runs.lost_s[calm] == 0.0).all()
    assert (runs.elapsed_s >= runs.billed_s).all()
    # What is held beyond work and checkpoints is start-up, restarts and what was lost.
    assert (runs.billed_s - runs.lost_s >= 20_000.0 + 14 * 40.0 - 1e-6).all()


def test_waits_have_the_mean_and_square_asked_for():
    wait = {"wait_mean_s": 700.0, "wait_second_moment_s2": 5.0 * 700.0**2}
    shape = one_run(work_s=20_000.0, segment_s=1500.0, checkpoint_s=40.0, restart_s=500.0, **wait)
    runs = simulate_runs(shape, RATE, runs=60_000, seed=2)
    single = (runs.elapsed_s - runs.billed_s)[runs.interruptions == 1]
    assert single.mean() == pytest.approx(700.0, rel=0.04)
    assert (single**2).mean() == pytest.approx(5.0 * 700.0**2, rel=0.15)
    always = one_run(
        work_s=20_000.0,
        segment_s=1500.0,
        checkpoint_s=40.0,
        restart_s=500.0,
        wait_mean_s=700.0,
        wait_second_moment_s2=700.0**2,
    )
    runs = simulate_runs(always, RATE, runs=100, seed=2)
    assert runs.elapsed_s - runs.billed_s == pytest.approx(700.0 * runs.interruptions)


def test_outages_by_age_have_the_mean_of_their_hazard():
    outage = AgeHazard(edges_h=(0.0, 0.5, 4.0), per_hour=(1.0, 0.3, 0.1))
    runs = simulate_aged_runs(SHAPE, FLAT, outage, runs=20_000, seed=2)
    mean = (runs.elapsed_s - runs.billed_s).sum() / runs.interruptions.sum()
    assert mean == pytest.approx(outage.mean_s(), rel=0.02)


def test_machines_that_fall_ill_young_are_worse_than_their_mean_says():
    young = AgeHazard(edges_h=(0.0, 0.25), per_hour=(3.0, 0.21))
    same_mean = AgeHazard(edges_h=(0.0,), per_hour=(HOUR_S / young.mean_s(),))
    runs = {name: simulate_aged_runs(SHAPE, hazard, None, runs=4000, seed=5) for name, hazard in
            (("young", young), ("flat", same_mean))}  # fmt: skip
    # More machines are needed: those that are lost early have not even begun.
    assert runs["young"].interruptions.mean() > 1.05 * runs["flat"].interruptions.mean()


def test_nothing_asked_for_and_nothing_interrupted():
    assert simulate_runs(SHAPE, RATE, runs=0, seed=1).elapsed_s.shape == (0,)
    assert simulate_aged_runs(SHAPE, FLAT, FLAT, runs=0, seed=1).elapsed_s.shape == (0,)
    calm = simulate_runs(SHAPE, 0.0, runs=3, seed=1)
    assert calm.elapsed_s.tolist() == [float(SHAPE.undisturbed_s()[0])] * 3
    assert calm.interruptions.tolist() == [0, 0, 0]
    never = AgeHazard(edges_h=(0.0,), per_hour=(0.0,))
    assert simulate_aged_runs(SHAPE, never, None, runs=2, seed=1).interruptions.tolist() == [0, 0]


def test_an_uncertain_throughput_is_drawn_once_a_run():
    plain = one_run(work_s=20_000.0, segment_s=1500.0, checkpoint_s=0.0, restart_s=500.0)
    runs = simulate_runs(plain, 0.0, runs=20_000, seed=1, sigma_log=0.3)
    assert np.log(runs.elapsed_s / 20_000.0).std() == pytest.approx(0.3, rel=0.02)


def test_what_would_never_end_is_refused():
    hopeless = one_run(work_s=1e6, segment_s=1e5, checkpoint_s=60.0, restart_s=500.0)
    with pytest.raises(ValueError, match="too many to simulate"):
        simulate_runs(hopeless, 1e-3, runs=10, seed=1)
    brief = AgeHazard(edges_h=(0.0,), per_hour=(3600.0,))
    with pytest.raises(ValueError, match="segments are too long"):
        simulate_aged_runs(hopeless, brief, None, runs=1, seed=1)
    with pytest.raises(ValueError, match="may never end"):
        simulate_aged_runs(SHAPE, FLAT, AgeHazard(edges_h=(0.0, 1.0), per_hour=(1.0, 0.0)), runs=1, seed=1)


def test_one_run_at_a_time():
    two = RunShape(**{name: np.repeat(getattr(SHAPE, name), 2) for name in RunShape.__slots__})
    with pytest.raises(ValueError, match="one run at a time"):
        simulate_runs(two, RATE, runs=1, seed=1)
    with pytest.raises(ValueError, match="runs: 0 or more"):
        simulate_runs(SHAPE, RATE, runs=-1, seed=1)
