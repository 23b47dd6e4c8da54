"""What changes from point to point, in words; and which points are worth showing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optimizer.physics.axes import Sharding, Tuning
from optimizer.search.frontier import FrontierPoint
from optimizer.search.frontier_steps import differences, step_between, steps_along, telling_points
from providers.offer import PricingModel
from tests.golden.conftest import invented_candidate


def candidate(usd=1.0, hours=10.0, *, offer=None, recipe=None, quality="medium", nodes=1, gpu=None):
    one = invented_candidate()
    return replace(
        one,
        offer=replace(one.offer, **(offer or {})),
        gpu=replace(one.gpu, id=gpu or one.gpu.id),
        recipe=replace(one.recipe, **(recipe or {})),
        quote=replace(one.quote, expected_usd_micro=round(usd * 1e6)),
        finish_s_at_confidence=hours * 3600.0,
        quality=quality,
        nodes=nodes,
    )


def point(usd, hours, **changes):
    chosen = changes.pop("chosen", False)
    return FrontierPoint(
        candidate=candidate(usd, hours, **changes),
        keeps_deadline=None,
        keeps_budget=None,
        keeps_quality_floor=None,
        chosen=chosen,
    )


def test_the_example_of_the_issue_reads_as_it_is_written_there():
    before = candidate(10.0, 20.0, gpu="L40S-48GB", offer={"gpu_count": 1})
    after = candidate(13.1, 15.0, gpu="L40S-48GB", offer={"gpu_count": 2})
    step = step_between(before, after)
    assert step.sentence == "+$3.10 buys 5h: 2x L40S-48GB instead of 1x"
    assert (step.usd_micro, step.finish_s, step.quality) == (3_100_000, -18_000.0, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gpu": "ETA-2"}, ["2x ETA-2 instead of 2x ZETA-9-64GB"]),
        ({"nodes": 3}, ["3 x 2x ZETA-9-64GB instead of 2x"]),
        ({"recipe": {"bits": 16}}, ["lora at 16 bits instead of qlora"]),
        ({"recipe": {"tuning": Tuning.FULL, "bits": 16}}, ["full fine-tuning instead of qlora"]),
        ({"offer": {"pricing_model": PricingModel.SPOT}}, ["spot instead of on demand"]),
        ({"offer": {"provider": "cirrus", "region": "elsewhere"}}, ["at cirrus instead of nimbus"]),
        ({"offer": {"region": "venus-2"}}, ["in venus-2 instead of mars-1"]),
        ({"offer": {"variant": "community"}}, ["community instead of secure"]),
        ({"offer": {"instance_type": "zeta.other"}}, ["zeta.other instead of zeta.2x"]),
        ({"recipe": {"micro_batch": 8}}, ["micro-batch 8 instead of micro-batch 4"]),
        ({"recipe": {"sharding": Sharding.ZERO3}}, ["sharding zero3 instead of sharding ddp"]),
        ({}, ["the same machine and recipe"]),
        (
            {"gpu": "ETA-2", "offer": {"provider": "cirrus", "gpu_count": 4}, "recipe": {"bits": 8, "micro_batch": 2}},
            ["4x ETA-2 instead of 2x ZETA-9-64GB", "lora at 8 bits instead of qlora", "at cirrus instead of nimbus"],
        ),
    ],
)
def test_only_what_differs_is_named(change, words):
    assert differences(candidate(), candidate(**change)) == words


def test_between_levels_quality_is_what_is_bought():
    step = step_between(candidate(1.0, 10.0), candidate(1.5, 10.5, quality="highest"))
    assert step.sentence.startswith("+$0.50 buys quality highest instead of medium, 30m later: ")
    assert step.quality == ("medium", "highest")
    earlier = step_between(candidate(2.0, 10.0), candidate(1.5, 2.0, quality="highest"))
    assert earlier.sentence.startswith("-$0.50 buys quality highest instead of medium, 8h earlier: ")


def test_each_level_is_measured_from_the_cheapest_of_all():
    points = [point(1, 9), point(2, 5), point(3, 9, quality="highest"), point(4, 4, quality="highest")]
    steps = steps_along(points)
    assert steps[0] is None
    assert [step.usd_micro for step in steps[1:]] == [1_000_000, 2_000_000, 1_000_000]


def test_the_largest_steps_are_told_and_both_ends_and_the_choice():
    # Cents and minutes apart but for one cliff in the middle: 2 to 8 dollars, 60 to 20 hours.
    points = [
        point(1.00, 62.0), point(1.01, 61.9, chosen=True), point(1.02, 61.8), point(2.00, 60.0), point(2.01, 30.0),
        point(2.02, 29.9), point(8.00, 20.0), point(8.01, 19.9),
    ]  # fmt: skip
    assert telling_points(points, 2) == [0, 1, 7]
    assert telling_points(points, 4) == [0, 1, 5, 7]  # the foot of the cliff
    assert set(telling_points(points, 5)) >= {0, 1, 5, 7}
    assert telling_points(points, 99) == list(range(8))
    assert telling_points([], 5) == []


def test_a_price_of_zero_can_be_a_point():
    points = [point(0, 9), point(1, 5), point(2, 4), point(3, 1)]
    assert telling_points(points, 3)[0] == 0
