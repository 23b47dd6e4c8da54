"""The shipped hazards and interruption classes."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.search.spot.availability import AGE_FROM_H
from optimizer.search.spot.interruption_classes import availability_for, class_of
from optimizer.search.spot.zone_counts import load_zone_models
from providers.basis import Basis


def test_the_ladder_runs_from_calm_to_scarce() -> None:
    models = load_zone_models()
    shares = [one.available_fraction for one in models.zones]
    assert shares == sorted(shares, reverse=True)
    assert models.names == ("us-west-2a", "us-east-2b", "us-east-1f", "us-east-1a")
    assert shares[-1] < models.pooled.available_fraction < shares[0]
    assert all(one.basis is Basis.ASSUMED for one in (*models.zones, models.pooled))


def test_four_zones_were_watched_for_about_eight_hundred_hours_each() -> None:
    for up, down in load_zone_models().counts:
        assert up.hours.shape == (len(AGE_FROM_H),)
        assert 700 < up.hours.sum() + down.hours.sum() < 840


def test_hazards_fall_with_age() -> None:
    pooled = load_zone_models().pooled
    assert pooled.loss_per_hour[:3].mean() > 4 * pooled.loss_per_hour[-3:].mean()


def test_a_published_class_is_found_and_nothing_is_made_up() -> None:
    assert class_of(provider="aws", instance_type="g5.24xlarge", region="me-central-1") == 0
    assert class_of(provider="aws", instance_type="g5.2xlarge", region="me-central-1") == 4
    assert class_of(provider="nimbus", instance_type="g5.24xlarge", region="me-central-1") is None
    assert class_of(provider="aws", instance_type="g5.24xlarge", region="mars-1") is None
    assert class_of(provider="aws", instance_type="zeta.2x", region="us-east-1") is None


@pytest.mark.parametrize("region", ["me-central-1", "mars-1"])
def test_calmer_is_lower_and_rougher_is_higher(region: str) -> None:
    for instance in ("g5.24xlarge", "g5.xlarge", "g5.2xlarge"):
        prior = availability_for(provider="aws", region=region, instance_type=instance)
        rates = [one.rate_per_hour for one in (prior.low, prior.expected, prior.high)]
        shares = [one.available_fraction for one in (prior.low, prior.expected, prior.high)]
        assert rates == sorted(rates)
        assert rates[0] < rates[2]
        assert shares == sorted(shares, reverse=True)
        assert prior.basis is Basis.ASSUMED


def test_a_higher_class_is_never_calmer() -> None:
    expected = {}
    for instance, region in (
        ("g5.24xlarge", "me-central-1"),
        ("g5.xlarge", "me-central-1"),
        ("g5.2xlarge", "me-central-1"),
    ):
        prior = availability_for(provider="aws", region=region, instance_type=instance)
        assert prior.interruption_class is not None
        expected[prior.interruption_class] = prior.expected.rate_per_hour
    assert list(expected) == [0, 1, 4]
    assert list(expected.values()) == sorted(expected.values())


def test_without_a_class_all_zones_together_are_assumed() -> None:
    prior = availability_for(provider="nimbus", region="mars-1", instance_type="zeta.2x")
    assert prior.expected is load_zone_models().pooled
    assert prior.interruption_class is None
    assert "no history" in prior.history
    assert np.isfinite(prior.expected.down_mean_s)
