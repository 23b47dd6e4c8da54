from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from optimizer.report.json_calculate import calculate_text
from optimizer.report.json_estimate import estimate_text
from optimizer.report.json_explain import explanation_text
from optimizer.report.json_methods import methods_text
from optimizer.report.json_models import models_text
from optimizer.report.json_plan import plan_document
from optimizer.report.json_prices import prices_text
from optimizer.workload.calculator import estimate_cost
from optimizer.workload.decision import decide
from optimizer.workload.matrices import load_matrices
from optimizer.workload.models import load_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.report.answers import EstimateAnswer, PriceListAnswer
    from optimizer.search.results import Explanation, Plan

OFFER_KEYS = {
    "provider", "region", "zone", "variant", "instance_type", "gpu", "gpu_count", "pricing_model", "unit_price_nano",
    "currency", "observed_at", "source", "flags",
}  # fmt: skip


def test_the_estimate_document_is_as_written_down(
    invented_estimate: EstimateAnswer, golden: Callable[[str, str], None]
) -> None:
    golden("estimate.json", estimate_text(invented_estimate))


def test_an_estimate_has_the_inner_objects_of_a_plan(invented_estimate: EstimateAnswer, invented_plan: Plan) -> None:
    estimate, plan = json.loads(estimate_text(invented_estimate)), plan_document(invented_plan)
    shared = (
        "job",
        "memory",
        "throughput",
        "duration_s",
        "duration_parts_s",
        "cost_usd_micro",
        "components",
        "snapshot",
    )
    assert {key: estimate[key] for key in shared} == {key: plan[key] for key in shared}
    assert (estimate["fits"], estimate["fits_expected"]) == (True, True)


def test_an_estimate_without_a_price_says_null(invented_estimate: EstimateAnswer) -> None:
    unknown = dataclasses.replace(
        invented_estimate, quote=None, offer=None, price_from="unknown", usd_per_gpu_hour_nano=None, snapshot=None
    )
    document = json.loads(estimate_text(unknown))
    assert document["cost_usd_micro"] is None
    assert document["billed_s"] is None
    assert document["components"] == []
    assert document["price"] == {"from": "unknown", "offer": None, "usd_per_gpu_hour_nano": None}
    assert document["snapshot"] is None


def test_the_price_list_is_as_written_down(
    invented_prices: PriceListAnswer, golden: Callable[[str, str], None]
) -> None:
    golden("prices.json", prices_text(invented_prices))


def test_every_offer_has_the_keys_of_the_contract_and_an_age(invented_prices: PriceListAnswer) -> None:
    document = json.loads(prices_text(invented_prices))
    assert document["schema"] == "tunefare.prices/v1"
    assert all(set(offer) >= OFFER_KEYS | {"age_s", "freshness"} for offer in document["offers"])
    assert [offer["gpu"] for offer in document["offers"]] == ["ZETA-9-64GB", None]
    assert [offer["unit_price_per_gpu_nano"] for offer in document["offers"]] == [1_605_000_000, 333_333_333]


def test_the_calculation_is_as_written_down(golden: Callable[[str, str], None]) -> None:
    inputs = {
        "tokens_per_sample": 400.5, "n_samples": 13_300, "epochs": 4, "tps_per_gpu": 100, "num_gpus": 4,
        "utilization": 0.5, "price_per_gpu_hour": 0.26,
    }  # fmt: skip
    golden("calculate.json", calculate_text(inputs, estimate_cost(**inputs)))


def test_a_calculation_hands_on_what_the_function_returns() -> None:
    inputs = {
        "tokens_per_sample": 3, "n_samples": 7, "epochs": 1, "tps_per_gpu": 11, "num_gpus": 1, "utilization": 1,
        "price_per_gpu_hour": 0.1,
    }  # fmt: skip
    answer = estimate_cost(**inputs)
    document = json.loads(calculate_text(inputs, answer))
    assert {key: document[key] for key in ("tokens_total", "train_hours", "cost_usd")} == answer
    assert document["inputs"] == inputs


def test_the_matrices_are_as_written_down(golden: Callable[[str, str], None]) -> None:
    golden("methods.json", methods_text(load_matrices()))


def test_a_decision_is_part_of_the_methods_when_asked_for() -> None:
    decision = decide(budget_tight=False, low_vram=False, domain_shift=True, alignment=True)
    document = json.loads(methods_text(load_matrices(), decision))
    assert document["decision"]["method"] == "full"
    assert document["decision"]["sharding"] == "zero3"
    assert document["decision"]["objectives"] == ["sft", "dpo", "ppo"]
    assert json.loads(methods_text(load_matrices()))["decision"] is None


def test_the_explanation_is_as_written_down(
    invented_explanation: Explanation, golden: Callable[[str, str], None]
) -> None:
    golden("explain.json", explanation_text(invented_explanation))


def test_an_explanation_without_its_moment_is_refused(invented_explanation: Explanation) -> None:
    with pytest.raises(ValueError, match="when it was made"):
        explanation_text(dataclasses.replace(invented_explanation, made_at=None))


def test_an_explanation_says_which_prices_it_saw(invented_explanation: Explanation, invented_plan: Plan) -> None:
    told = dataclasses.replace(invented_explanation, snapshot=invented_plan.snapshot)
    assert json.loads(explanation_text(told))["snapshot"] == plan_document(invented_plan)["snapshot"]


def test_an_explanation_may_have_no_candidate(invented_explanation: Explanation) -> None:
    absent = dataclasses.replace(invented_explanation, verdict="absent", candidate=None, choice=None, broken={})
    document = json.loads(explanation_text(absent))
    assert (document["candidate"], document["choice"], document["broken"]) == (None, None, [])


def test_every_model_is_listed_with_its_aliases_and_counts() -> None:
    table = load_models()
    rows = json.loads(models_text(table))["models"]
    assert [row["model"] for row in rows] == list(table.names())
    assert all(row["params"] >= row["active_params"] > 0 for row in rows)
