"""Sensitivity: each end is what the search itself says of that job, and what no longer works is said to be so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from optimizer.search.candidates import join
from optimizer.search.market import survey
from optimizer.search.planner import plan
from optimizer.search.sensitivity import REPLANNED, sensitivity_of
from optimizer.search.sensitivity_drivers import DataCount, driver_spans
from optimizer.workload.job import Overheads
from optimizer.workload.lengths import spread_around
from providers.offer import BillingTerms, PriceClass, PricingModel
from tests.fixtures.search_world import NOW, USD, make_job, make_offer, make_snapshot, tables

MARKET = [
    make_offer("L4-24GB", provider="one", unit_price_nano=USD * 6 // 10),
    make_offer("A100-SXM-80GB", provider="two", unit_price_nano=2 * USD),
    make_offer("H100-SXM-80GB", provider="three", unit_price_nano=3 * USD, gpu_count=2),
]


def snapshot_of(offers):
    """Billed by the second, so that nothing hides in a started hour."""
    return make_snapshot(offers, billing={offer.provider: BillingTerms() for offer in offers})


def sensitivity(job, offers=MARKET, **changes):
    return sensitivity_of(job, snapshot_of(offers), tables(), now=NOW, **changes)


def named(found, name):
    return next(driver for driver in found.drivers if driver.name == name)


@pytest.fixture(scope="module")
def usual():
    return sensitivity(make_job(methods=()), data=DataCount(items=13_300, epochs=4))


def test_the_drivers_of_the_seeds_and_the_uncertain_ones_are_there_by_swing(usual):
    names = {driver.name for driver in usual.drivers}
    assert names == {
        "sequence_length", "global_batch", "gradient_accumulation", "precision", "checkpoint_every", "price",
        "throughput", "samples", "epochs",
    }  # fmt: skip
    swings = [driver.swing_usd_micro for driver in usual.drivers]
    assert swings == sorted(swings, reverse=True)
    for driver in usual.drivers:
        values = [point.value for point in driver.points]
        assert values == sorted(values)
        assert driver.base in driver.points
        assert driver.base.usd_micro == usual.choice.quote.expected_usd_micro
        assert driver.base.finish_s == usual.choice.finish_s_at_confidence


def test_every_end_costs_what_the_search_says_of_that_job_and_recipe(usual):
    job, choice = usual.job, usual.choice
    checked = 0
    for span in driver_spans(job, choice, DataCount(items=13_300, epochs=4)):
        for end in span.ends:
            asked = replace(end.job, quantization_bits=(), methods=())
            market = survey(asked, snapshot_of([choice.offer]), tables(), now=NOW)
            rows = [
                at
                for at in range(market.hardware.count)
                if market.grid.recipe(*(int(column[market.hardware.row[at]]) for column in shape(market))).name
                == end.recipe.name
            ]
            point = next(one for one in named(usual, span.name).points if one.value == end.value)
            if not rows:
                assert span.name == "gradient_accumulation"
                continue
            (row,) = rows
            bill = join(market, np.array([row]), np.array([0]))
            assert abs(point.usd_micro - bill.expected_micro[0]) <= 3
            assert point.finish_s == pytest.approx(market.hardware.finish_s[row], rel=1e-12)
            memory = market.hardware.slacks["memory"]
            assert point.fits == (memory.margin[row] >= 0.0)
            checked += 1
    assert checked >= 10


def shape(market):
    return market.rows.base, market.rows.micro_batch, market.rows.grad_accum


def test_the_best_plan_at_an_end_is_the_plan_of_that_job():
    job, data = make_job(methods=(), deadline_at=NOW + timedelta(hours=10)), DataCount(items=13_300, epochs=2)
    offers = [*MARKET, *(make_offer(provider=f"dearer{n}", unit_price_nano=(4 + n) * USD) for n in range(3))]
    found = sensitivity(job, offers, data=data)
    spans = [span for span in driver_spans(job, found.choice, data) if span.changes_job]
    jobs = {(span.name, end.value): end.job for span in spans for end in span.ends}
    sought = [
        (driver.name, point) for driver in found.drivers for point in driver.points
        if point.sought and (driver.name, point.value) in jobs
    ]  # fmt: skip
    assert len(sought) == REPLANNED
    for name, point in sought:
        there = plan(jobs[name, point.value], snapshot_of(offers), tables(), now=NOW, top=0).choices
        assert (point.best is None) == (there == ())
        if there:
            assert abs(point.best.usd_micro - there[0].quote.expected_usd_micro) <= 3
            assert point.best.candidate.offer.key == there[0].offer.key


def test_what_breaks_a_limit_is_looked_at_first():
    # The deadline is so close that everything that takes longer misses it.
    offers = [MARKET[0], replace(MARKET[1], unit_price_nano=20 * USD)]
    free = sensitivity(make_job(deadline_at=None), offers)
    left = timedelta(seconds=free.choice.finish_s_at_confidence + 60.0)
    found = sensitivity(make_job(deadline_at=NOW + left), offers, data=DataCount(items=10, epochs=2))
    assert found.choice.offer.provider == "one"
    more = named(found, "epochs").high
    assert (more.in_time, more.sought) == (False, True)
    assert more.best is not None
    assert not more.best.same
    slower = named(found, "throughput").low
    assert slower.in_time is True  # the low end of the speed is what the confidence allows for
    assert named(found, "epochs").low.in_time is True


def test_a_longer_row_that_does_not_fit_says_what_it_needs():
    job = make_job(seq_len=2048, methods=("lora",))
    found = sensitivity(job, [make_offer("L4-24GB")])
    longer = named(found, "sequence_length").high
    assert longer.value == 4096
    assert longer.fits is False
    assert longer.needed_bytes > longer.usable_bytes == found.choice.memory.usable_bytes


def test_a_price_moves_by_its_age_and_a_contract_does_not_move():
    old = make_offer("A100-SXM-80GB", observed_at=NOW - timedelta(days=365), price_class=PriceClass.LIST)
    driver = named(sensitivity(make_job(), [old]), "price")
    base = driver.base.usd_micro
    assert [point.value for point in driver.points] == pytest.approx(
        [1e6 * np.exp(sign * 0.1 * 1.2815515655446) for sign in (-1, 0, 1)]
    )
    assert [point.usd_micro / base for point in driver.points] == pytest.approx(
        [point.value / driver.base.value for point in driver.points], rel=1e-5
    )
    assert all(point.best.same for point in driver.points if point.sought)
    own = named(sensitivity(make_job(), [replace(old, price_class=PriceClass.OWN)]), "price")
    assert own.points == (own.base,)
    assert own.swing_usd_micro == 0
    assert "agreed" in own.one_sided


def test_a_dearer_price_may_lose_to_another_offer():
    old = make_offer(
        "A100-SXM-80GB", provider="old", observed_at=NOW - timedelta(days=365), price_class=PriceClass.LIST
    )
    rival = make_offer("A100-SXM-80GB", provider="rival", unit_price_nano=USD * 105 // 100)
    high = named(sensitivity(make_job(), [old, rival]), "price").high
    assert high.best.candidate.offer.provider == "rival"
    assert not high.best.same


def test_throughput_at_its_low_end_takes_what_the_plan_allows_for():
    found = sensitivity(make_job(confidence_ppm=900_000))
    driver = named(found, "throughput")
    assert driver.low.finish_s == pytest.approx(found.choice.finish_s_at_confidence, rel=1e-6)
    assert driver.low.usd_micro > driver.base.usd_micro > driver.high.usd_micro
    assert found.choice.duration_s.expected < driver.low.duration_s < found.choice.duration_s.high


def test_precision_tells_the_best_at_every_width_and_full_has_none(usual):
    driver = named(usual, "precision")
    assert [point.value for point in driver.points] == [4, 8, 16]
    assert all(point.sought for point in driver.points if point != driver.base)
    for point in driver.points:
        if point.best is not None:
            assert point.best.candidate.recipe.bits == point.value
    full = named(sensitivity(make_job(methods=("full",)), [make_offer("B200-SXM-180GB")]), "precision")
    assert full.points == (full.base,)
    assert full.one_sided == "full fine-tuning trains every weight and needs 16 bits"


def test_cut_samples_lose_their_tokens_and_longer_rows_gain_none():
    job = make_job(lengths=spread_around(400, count=1000, seq_len=512), seq_len=512)
    found = sensitivity(job)
    driver = named(found, "sequence_length")
    assert "of the tokens cut off" in driver.low.detail
    assert driver.low.usd_micro < driver.base.usd_micro
    assert driver.high.detail == ""
    assert named(sensitivity(make_job(seq_len=512)), "sequence_length").low.detail == ""


def test_tokens_alone_have_no_epochs_and_one_epoch_has_no_less():
    found = sensitivity(make_job())
    assert {driver.name for driver in found.drivers} & {"epochs", "samples"} == set()
    tokens = named(found, "tokens")
    assert [point.value for point in tokens.points] == [12_600_000, 14_000_000, 15_400_000]
    once = named(sensitivity(make_job(), data=DataCount(items=53_200, epochs=1)), "epochs")
    assert [point.value for point in once.points] == [1, 2]
    assert once.one_sided
    pairs = sensitivity(
        make_job(objective="dpo", prompt_tokens=100, response_tokens=100), data=DataCount(items=9, epochs=1)
    )
    assert named(pairs, "pairs").unit == "pairs"


def test_checkpoints_that_are_stated_are_the_base():
    job = make_job(overheads=Overheads(disk_bytes=0.0, checkpoint_every_s=60.0))
    driver = named(sensitivity(job), "checkpoint_every")
    assert [point.value for point in driver.points] == [60.0, 14_400.0]
    none = named(sensitivity(make_job(overheads=Overheads(disk_bytes=0.0, checkpoint_every_s=0.0))), "checkpoint_every")
    assert [point.value for point in none.points] == [0.0, 600.0, 14_400.0]
    assert none.base.value == 0.0


def test_spot_hangs_on_interruptions_and_nothing_else_does():
    spot = make_offer("A100-SXM-80GB", pricing_model=PricingModel.SPOT)
    driver = named(sensitivity(make_job(), [spot]), "interruptions")
    assert driver.low.usd_micro < driver.base.usd_micro < driver.high.usd_micro
    assert driver.low.finish_s < driver.high.finish_s
    assert not any(one.name == "interruptions" for one in sensitivity(make_job()).drivers)


def test_an_infeasible_job_has_none_and_a_budget_is_judged():
    assert sensitivity(make_job(deadline_at=NOW + timedelta(minutes=5))) is None
    free = sensitivity(make_job())
    tight = Decimal(free.choice.quote.high_usd_micro + 10) / 1_000_000
    found = sensitivity(make_job(budget_usd=tight))
    assert named(found, "tokens").high.in_budget is False
    assert named(found, "tokens").low.in_budget is True
    assert all(driver.base.in_budget is True for driver in found.drivers)


def test_a_sweep_is_looked_at_run_by_run():
    one, four = sensitivity(make_job()), sensitivity(make_job(runs=4))
    assert four.choice.quote.expected_usd_micro == one.choice.quote.expected_usd_micro
    assert [driver.name for driver in four.drivers] == [driver.name for driver in one.drivers]


def test_the_order_of_offers_changes_nothing(usual):
    other = sensitivity(make_job(methods=()), [*reversed(MARKET), MARKET[0]], data=DataCount(items=13_300, epochs=4))
    assert (other.drivers, other.choice, other.stretches) == (usual.drivers, usual.choice, usual.stretches)
