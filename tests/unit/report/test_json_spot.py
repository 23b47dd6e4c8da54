from __future__ import annotations

import json

import pytest

from optimizer.report.json_spot import fallback_object, spot_object
from optimizer.search.spot.policy_document import read_policy
from tests.fixtures.spot_market import on_demand, planned, spot_job, spot_offer

OFFERS = [spot_offer(1.0), spot_offer(1.2, region="region-2", zone="b"), on_demand(3.0)]
EVERY = [("none", 48.0), ("none", None), ("skypilot", 48.0), ("policy", 48.0), ("policy", None)]


def answer_of(executor, hours=48.0):
    return planned(spot_job(executor=executor, hours=hours, pricing_models=("spot",)), OFFERS).choices[0].spot


def numbers(value):
    if isinstance(value, dict):
        return [one for part in value.values() for one in numbers(part)]
    if isinstance(value, list):
        return [one for part in value for one in numbers(part)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


@pytest.mark.parametrize(("executor", "hours"), EVERY)
def test_every_number_is_an_integer_that_json_can_hold(executor, hours):
    document = spot_object(answer_of(executor, hours), with_policy=True)
    assert all(isinstance(one, int) and abs(one) < 2**53 for one in numbers(document))
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize(("executor", "hours"), EVERY)
def test_what_is_not_there_is_null(executor, hours):
    document = spot_object(answer_of(executor, hours), with_policy=True)
    kept = executor == "policy" and hours is not None
    assert (document["policy"] is not None) == kept
    assert (document["fallback"] is not None) == kept
    assert (document["worst_usd_micro"] is not None) == kept
    assert "policy" not in spot_object(answer_of(executor, hours), with_policy=False)


def test_machines_that_stay_have_none():
    assert spot_object(None, with_policy=True) is None


def test_the_policy_reads_back_as_it_was():
    answer = answer_of("policy")
    document = spot_object(answer, with_policy=True)["policy"]
    problem, table = read_policy(document, where="plan")
    assert (table.actions == answer.policy.actions).all()
    assert (problem.work_s, problem.deadline_s) == (answer.problem.work_s, answer.problem.deadline_s)


def test_an_offer_to_turn_to_is_named_whole():
    one = answer_of("policy").failover[1]
    assert fallback_object(one) == {
        "provider": "examplecloud", "region": "region-2", "zone": "b", "variant": None, "instance_type": "toy.large",
        "pricing_model": "spot", "unit_price_nano": 1_200_000_000, "ceiling_nano": 3_000_000_000,
    }  # fmt: skip
