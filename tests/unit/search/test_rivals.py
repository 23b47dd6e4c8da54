from __future__ import annotations

from dataclasses import replace

import pytest

from optimizer.search.rivals import rivals_of, sizes_of, stands_for
from providers.offer import TokenPrice
from tests.fixtures.search_world import make_job, make_snapshot, model

PRICE = TokenPrice(
    vendor="v", model="m", method="sft", low_nano_per_token=1, high_nano_per_token=1, source="s", source_date="d"
)


def kept(job, *models):
    prices = tuple(replace(PRICE, model=name) for name in models)
    return {one.model: one.stands_for for one in rivals_of(job, make_snapshot([], token_prices=prices))}


@pytest.mark.parametrize(
    ("tier", "sizes"),
    [
        ("up to 16B", (0.0, 16.0)),
        ("17B to 69B", (17.0, 69.0)),
        ("17B-69B", (17.0, 69.0)),
        ("over 80B", (80.0, float("inf"))),
        ("all", None),
        ("gpt-4.1", None),
        ("gpt-4o-mini-2024-07-18", None),
    ],
)
def test_sizes_that_a_tier_states(tier, sizes):
    assert sizes_of(tier) == sizes


def test_only_tiers_that_could_hold_the_model_are_told():
    tiers = ("up to 16B", "17B to 69B", "70B to 100B", "special models", "all", "gpt-4.1", "davinci-002", "babbage-002")
    assert kept(make_job(), *tiers) == {
        "up to 16B": "models of this size",
        "special models": "every size",
        "all": "every size",
        "gpt-4.1": "another model",
    }
    # 70.6 billion parameters are 71 in whole billions.
    assert "70B to 100B" in kept(make_job(model=model("llama-3.1-70b")), *tiers)
    assert "17B to 69B" not in kept(make_job(model=model("llama-3.1-70b")), *tiers)


def test_a_named_model_stands_for_itself():
    assert stands_for("gemini") == "another model"
