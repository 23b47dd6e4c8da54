"""A family that moves together is released; one row alone, a change of unit and what a person rejected are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cache.gate import Decision, GatePolicy, Judged, Known, judge
from cache.quorum import PendingMove, QuorumPolicy, release_by_quorum
from providers.scope import OfferKey
from tests.fixtures.offers import SPOT, make_batch, make_offer
from tests.unit.cache.test_gate import known

if TYPE_CHECKING:
    from providers.offer import Offer


def regions(count: int, price: float, *, first: int = 0, **fields: object) -> list[Offer]:
    return [
        make_offer(region=f"r{number}", price=price, pricing_model=SPOT, **fields)
        for number in range(first, first + count)
    ]


def night(before: list[Offer], after: list[Offer], **fields: object) -> tuple[list[Judged], dict[int, Known]]:
    facts = known(*before, last_rows=1, on_demand={}, **fields)
    policy = GatePolicy(largest_move=1.9)
    judged = [judge(make_batch(offer), facts, policy) for offer in after]
    return judged, dict.fromkeys(range(len(judged)), facts)


def published(judged: list[Judged]) -> int:
    return sum(len(one.published) for one in judged)


def test_a_family_that_doubles_everywhere_is_a_new_price_list() -> None:
    judged, facts = night(regions(85, 0.2), regions(85, 0.404))
    assert published(judged) == 0
    done = release_by_quorum(judged, facts)
    assert published(done) == 85
    assert sum(len(one.released) for one in done) == 85
    assert all(not one.quarantined for one in done)


def test_one_row_alone_stays() -> None:
    before = regions(20, 46.86)
    after = [*regions(1, 7.692), *regions(19, 46.89, first=1)]
    judged, facts = night(before, after)
    done = release_by_quorum(judged, facts)
    assert published(done) == 19
    assert [row.offer.region for one in done for row in one.quarantined] == ["r0"]


@pytest.mark.parametrize(("movers", "free"), [(4, 0), (5, 5)])
def test_five_are_a_crowd(movers: int, free: int) -> None:
    judged, facts = night(regions(movers, 0.2), regions(movers, 0.5))
    assert published(release_by_quorum(judged, facts)) == free


def test_half_of_the_family_must_move() -> None:
    before = regions(20, 0.2)
    judged, facts = night(before, [*regions(9, 0.5), *regions(11, 0.2, first=9)])
    assert published(release_by_quorum(judged, facts)) == 11
    judged, facts = night(before, [*regions(10, 0.5), *regions(10, 0.2, first=10)])
    assert published(release_by_quorum(judged, facts)) == 20


def test_they_must_move_alike() -> None:
    before = regions(10, 1.0)
    after = [make_offer(region=f"r{number}", price=2.0 + number * 0.9, pricing_model=SPOT) for number in range(10)]
    judged, facts = night(before, after)
    assert published(release_by_quorum(judged, facts)) == 0


def test_the_outlier_of_a_crowd_stays() -> None:
    judged, facts = night(regions(10, 1.0), [*regions(9, 2.0), *regions(1, 5.0, first=9)])
    done = release_by_quorum(judged, facts)
    assert [row.offer.region for one in done for row in one.quarantined] == ["r9"]


def test_a_whole_provider_that_changes_its_unit_stays() -> None:
    judged, facts = night(regions(30, 1.0), regions(30, 7.0))
    assert published(release_by_quorum(judged, facts)) == 0
    judged, facts = night(regions(30, 1.0), regions(30, 100.0))
    assert published(release_by_quorum(judged, facts)) == 0


def test_other_gpus_and_other_pricing_models_are_other_families() -> None:
    before = [*regions(3, 1.0), *regions(3, 1.0, first=3, gpu="A100-SXM-80GB")]
    after = [*regions(3, 2.0), *regions(3, 2.0, first=3, gpu="A100-SXM-80GB")]
    judged, facts = night(before, after)
    assert published(release_by_quorum(judged, facts)) == 0


def test_earlier_nights_of_other_regions_count() -> None:
    judged, facts = night(regions(2, 1.0), regions(2, 2.0))
    waiting = [
        PendingMove(
            key=OfferKey("nimbus", f"w{number}", "", "nimbus.large", "", "spot"), family="nimbus L4-24GB spot", move=2.0
        )
        for number in range(3)
    ]
    assert published(release_by_quorum(judged, facts, pending=waiting)) == 2
    assert published(release_by_quorum(judged, facts, pending=waiting[:2])) == 0


def test_what_a_person_rejected_stays_rejected() -> None:
    after = regions(10, 2.0)
    key = OfferKey(*after[3].key)
    decisions = {(key, "price_jump"): Decision(state="rejected", price_nano=after[3].unit_price_nano)}
    judged, facts = night(regions(10, 1.0), after, decisions=decisions)
    done = release_by_quorum(judged, facts)
    assert [row.key for one in done for row in one.quarantined] == [key]


def test_falling_together_counts_too() -> None:
    judged, facts = night(regions(6, 1.0), regions(6, 0.4))
    assert published(release_by_quorum(judged, facts)) == 6


def test_the_policy_can_be_stricter() -> None:
    judged, facts = night(regions(6, 1.0), regions(6, 2.0))
    assert published(release_by_quorum(judged, facts, policy=QuorumPolicy(least=7))) == 0
