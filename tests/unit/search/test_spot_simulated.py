from __future__ import annotations

import numpy as np
import pytest

from optimizer.search.spot.interruption_classes import availability_for
from optimizer.search.spot_rows import SpotTimes, first_wait_of
from optimizer.search.spot_simulated import BLOCKS, ENDS, Draws, drawn_without_net
from tests.fixtures.spot_market import spot_job

PRIOR = availability_for(provider="nimbus", region="", instance_type="")
HOUR = 3600.0


def times(work_h=4.0, *, sigma=0.2, every_s=600.0, fixed_s=300.0, write_s=5.0):
    columns = {"fixed_s": fixed_s, "work_s": work_h * HOUR, "sigma": sigma, "every_s": every_s, "write_s": write_s}
    return SpotTimes(**{name: np.array([value]) for name, value in columns.items()})


def drawn(one, *, executor="none", left_h=24.0, runs=4_000, seed=0, regions=1, prior=PRIOR):
    job = spot_job(executor=executor)
    left_s = None if left_h is None else left_h * HOUR
    return drawn_without_net(job, one, prior, Draws(runs=runs, seed=seed), left_s=left_s, regions=regions)


def test_each_end_of_the_prior_gets_its_weight_at_every_throughput():
    ends = [ENDS[block % len(ENDS)] for block in range(BLOCKS)]
    assert [ends.count(end) for end in ("low", "expected", "high")] == [5, 10, 5]
    middle = [np.mean([at for at, one in enumerate(ends) if one == end]) for end in ("low", "high")]
    # Neither end goes with the slow throughputs.
    assert abs(middle[0] - middle[1]) <= 1.0


def test_equal_seeds_draw_equal_runs():
    assert drawn(times()) == drawn(times())
    assert drawn(times()) != drawn(times(), seed=1)


def test_quantiles_and_chances_agree():
    found = drawn(times())
    assert found.low_s < found.finish_s <= found.high_s
    again = drawn(times(), left_h=found.finish_s / HOUR)
    assert 900_000 <= again.finish_probability_ppm <= 901_000
    assert drawn(times(), left_h=None).finish_probability_ppm == 1_000_000
    assert drawn(times(), left_h=0.01).finish_probability_ppm == 0


def test_more_regions_and_a_quicker_executor_are_surer():
    by_hand = drawn(times())
    alone, three = (drawn(times(), executor="skypilot", regions=count) for count in (1, 3))
    assert by_hand.finish_probability_ppm < alone.finish_probability_ppm < three.finish_probability_ppm
    assert three.finish_s < alone.finish_s < by_hand.finish_s


def test_a_run_may_wait_for_its_first_machine():
    # Work that nothing interrupts leaves the first wait alone to see.
    chance, mean_s, _ = first_wait_of(PRIOR.expected, executor="none", regions=1)
    alone = type(PRIOR)(
        low=PRIOR.expected, expected=PRIOR.expected, high=PRIOR.expected, history="", basis=PRIOR.basis,
        interruption_class=None,
    )  # fmt: skip
    job = spot_job(executor="none")
    short = times(0.001, sigma=0.0, fixed_s=1.0, write_s=0.1)
    at_once = drawn_without_net(job, short, alone, Draws(runs=20_000), left_s=60.0)
    assert at_once.finish_probability_ppm / 1e6 == pytest.approx(1.0 - chance, abs=0.015)
    patient = drawn_without_net(job, short, alone, Draws(runs=20_000), left_s=mean_s)
    assert patient.finish_probability_ppm > at_once.finish_probability_ppm


def test_segments_that_no_machine_outlives_never_end(monkeypatch):
    monkeypatch.setattr("optimizer.search.spot_simulated.MOST_MACHINES", 20)
    found = drawn(times(2000.0, every_s=2000.0 * HOUR), left_h=10_000.0)
    assert found.finish_probability_ppm < 100_000
    assert not np.isfinite(found.high_s)


@pytest.mark.parametrize("runs", [1, 3, 19, 20, 21, 4_000])
def test_as_many_runs_as_asked_for(runs):
    assert drawn(times(), runs=runs).runs == runs
