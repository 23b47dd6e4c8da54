from __future__ import annotations

import numpy as np
import pytest

from optimizer.search.candidates import join
from optimizer.search.spot.interruption_classes import availability_for
from optimizer.search.spot_candidates import spot_run
from optimizer.search.spot_finish import Delays, finish_quantile
from optimizer.search.spot_met import down_left, up_left
from optimizer.search.spot_policies import exact_micro
from optimizer.search.spot_rows import SHORTEST_INTERVAL_S, first_wait_of, waits_of
from optimizer.search.spot_share import share_on_spot
from optimizer.search.spot_simulated import Draws, drawn_without_net
from tests.fixtures.search_world import make_job
from tests.fixtures.spot_market import market_of, on_demand, spot_job, spot_offer

PRIOR = availability_for(provider="nimbus", region="", instance_type="")
HOUR = 3600.0


def test_a_stretch_met_at_random_is_longer_than_a_new_one():
    up, down = up_left(PRIOR.expected), down_left(PRIOR.expected)
    assert up.moments[0] > PRIOR.expected.up_mean_s
    # E[X^2] / 2 E[X], the mean of what is left (renewal theory).
    expected = PRIOR.expected.down_second_moment_s2 / 2.0 / PRIOR.expected.down_mean_s
    assert down.moments[0] == pytest.approx(expected, rel=2e-3)
    drawn = down.drawn(np.random.default_rng(1).random(20_000))
    assert drawn.mean() == pytest.approx(down.moments[0], rel=0.03)
    within = up.mean_within_s(np.array([0.0, HOUR, 1e9]))
    assert within[0] == 0.0
    assert within[1] < HOUR
    assert within[2] == pytest.approx(up.moments[0])


def test_what_never_ends_has_an_endless_rest():
    steady = PRIOR.expected.scaled(loss=0.0)
    assert up_left(steady).survival.min() == 1.0
    assert steady.available_fraction == 1.0
    assert first_wait_of(steady, executor="none", regions=1)[0] == 0.0


def test_more_regions_shorten_the_waits_of_skypilot_alone():
    for executor, shorter in (("skypilot", True), ("none", False), ("policy", False)):
        one, three, nine = (waits_of(PRIOR.expected, executor=executor, regions=count) for count in (1, 3, 9))
        first, third = (first_wait_of(PRIOR.expected, executor=executor, regions=count) for count in (1, 3))
        assert (three[0] < one[0]) == (third[0] < first[0]) == shorter
        assert nine == three


def test_the_share_on_spot_runs_from_what_is_met_to_all_and_grows_with_the_slack():
    slack = np.array([0.0, 1.0, 10.0, 100.0, 10_000.0]) * HOUR
    share = share_on_spot((PRIOR,), np.zeros(5, dtype=np.int64), work_s=np.full(5, 10 * HOUR), slack_s=slack)
    assert share[0] == 0.0
    assert (np.diff(share) > 0.0).all()
    assert share[1] < PRIOR.expected.available_fraction
    assert share[-1] == pytest.approx(1.0, abs=1e-4)


def test_more_work_leaves_less_of_it_to_spot():
    work = np.array([1.0, 10.0, 100.0]) * HOUR
    share = share_on_spot((PRIOR,), np.zeros(3, dtype=np.int64), work_s=work, slack_s=np.full(3, 5 * HOUR))
    assert (np.diff(share) < 0.0).all()


@pytest.mark.parametrize("hours", [3.0, 24.0])
@pytest.mark.parametrize("usd", [0.6, 2.4])
def test_the_ranking_is_near_the_dynamic_program(hours, usd):
    market = market_of(spot_job(hours=hours), [spot_offer(usd), on_demand(3.0)])
    place = int(np.flatnonzero(market.offers.spot[market.places.offer])[0])
    rows = np.flatnonzero((market.hardware.broken == 0) & (market.hardware.klass == market.places.klass[place]))
    bills = join(market, rows, np.array([place]))
    exact = [exact_micro(spot_run(market, place, int(row))) for row in bills.hardware[:3]]
    ratio = np.array(exact) / bills.expected_micro[:3]
    assert (ratio > 0.8).all()
    assert (ratio < 1.25).all()


@pytest.mark.parametrize("executor", ["none", "skypilot"])
@pytest.mark.parametrize("confidence_ppm", [500_000, 900_000])
def test_the_finish_time_of_the_columns_is_near_that_of_drawn_runs(executor, confidence_ppm):
    job = spot_job(executor=executor, hours=2000.0, confidence_ppm=confidence_ppm)
    for gpu in ("T4-16GB", "A100-SXM-80GB"):
        market = market_of(make_job(**_fields(job), quantization_bits=(4,), methods=("lora",)), [spot_offer(gpu=gpu)])
        rows = np.flatnonzero(market.hardware.broken == 0)
        fastest = int(rows[np.argmin(market.hardware.finish_s[rows])])
        run = spot_run(market, 0, fastest)
        drawn = drawn_without_net(job, run.times, run.prior, Draws(runs=4_000), left_s=run.left_s)
        assert 0.7 < market.hardware.finish_s[fastest] / drawn.finish_s < 1.3


def _fields(job):
    names = ("executor", "deadline_at", "confidence_ppm", "pricing_models")
    return {name: getattr(job, name) for name in names}


def test_without_delays_the_finish_time_is_that_of_the_undisturbed_run():
    calm = Delays(weight=1.0, calm=np.ones(1), mean_s=np.zeros(1), variance_s2=np.zeros(1))
    found = finish_quantile([calm], np.array([1000.0]), np.array([0.3]), 0.9)
    assert found[0] == pytest.approx(1000.0 * np.exp(0.3 * 1.2815515655446), rel=2e-3)


def test_a_surer_finish_is_a_later_one():
    end = Delays(weight=1.0, calm=np.array([0.4]), mean_s=np.array([2000.0]), variance_s2=np.array([3e6]))
    found = [finish_quantile([end], np.array([1000.0]), np.array([0.3]), p)[0] for p in (0.3, 0.5, 0.9, 0.99)]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_checkpoints_come_no_more_often_than_they_are_worth():
    market = market_of(spot_job(), [spot_offer(), on_demand()])
    spot = np.array([not stays for stays in market.hardware.stretch == 1.0])
    known = spot & np.isfinite(market.hardware.finish_s)
    assert market.hardware.every_s[known].min() >= SHORTEST_INTERVAL_S


def test_machines_that_stay_are_left_as_physics_has_them():
    market = market_of(spot_job(), [spot_offer(), on_demand()])
    rows, total = market.hardware, market.physics.duration.total
    stays = rows.stretch == 1.0
    assert stays.any()
    assert not stays.all()
    assert (rows.expected_s[stays] == total.expected[rows.row[stays]]).all()
    assert (rows.held_fraction[stays] == 1.0).all()
