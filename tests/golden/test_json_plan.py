from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from optimizer.physics.axes import Objective
from optimizer.report.json_plan import is_feasible, plan_document, plan_text
from optimizer.report.objective import describe_objective
from optimizer.search.results import PlanStatus
from optimizer.workload.lengths import LengthDistribution

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.search.results import Plan

PLAN_KEYS = {
    "schema", "status", "made_at", "tool_version", "job", "choice", "memory", "throughput", "duration_s",
    "finish_probability_ppm", "cost_usd_micro", "components", "runners_up", "rejected", "rivals", "solver", "snapshot",
    "action",
}  # fmt: skip
CHOICE_KEYS = {
    "provider", "region", "zone", "variant", "instance_type", "gpu", "gpus_per_node", "nodes", "pricing_model",
    "unit_price_nano", "currency", "observed_at", "source", "flags", "method", "objective", "quantization_bits",
    "sharding", "offload", "stack", "micro_batch", "grad_accum", "checkpointing",
}  # fmt: skip
MEMORY_KEYS = {
    "usable_bytes", "required_bytes", "load_peak_bytes", "allocated_bytes", "reserved_bytes", "device_bytes",
    "parts_bytes", "basis",
}  # fmt: skip


def test_the_plan_document_is_as_written_down(invented_plan: Plan, golden: Callable[[str, str], None]) -> None:
    golden("plan.json", plan_text(invented_plan))


def test_the_infeasible_document_is_as_written_down(
    invented_infeasible_plan: Plan, golden: Callable[[str, str], None]
) -> None:
    golden("plan-infeasible.json", plan_text(invented_infeasible_plan))


def test_the_sweep_document_is_as_written_down(invented_sweep: Plan, golden: Callable[[str, str], None]) -> None:
    golden("plan-sweep.json", plan_text(invented_sweep))


def test_every_key_of_the_contract_is_there(invented_plan: Plan) -> None:
    document = json.loads(plan_text(invented_plan))
    assert set(document) >= PLAN_KEYS
    assert set(document["choice"]) >= CHOICE_KEYS
    assert set(document["memory"]) >= MEMORY_KEYS
    assert set(document["throughput"]) >= {"tokens_per_s", "bound", "basis"}
    assert set(document["job"]) >= {"model", "tokens", "deadline_at", "confidence_ppm", "defaults_used"}
    assert set(document["solver"]) >= {"status", "gap_ppm", "candidates"}
    assert set(document["snapshot"]) >= {"sha256", "oldest_observed_at", "newest_observed_at"}
    runner_up = document["runners_up"][0]
    assert set(runner_up) >= CHOICE_KEYS | {"memory", "throughput", "duration_s", "cost_usd_micro", "components"}


def test_an_infeasible_plan_has_the_same_keys_and_no_choice(
    invented_plan: Plan, invented_infeasible_plan: Plan
) -> None:
    document = plan_document(invented_infeasible_plan)
    assert set(document) == set(plan_document(invented_plan))
    assert document["status"] == "infeasible"
    assert document["choice"] is None
    assert document["memory"] is None
    miss = json.loads(plan_text(invented_infeasible_plan))["near_misses"][0]
    assert (miss["limit"], miss["required"], miss["allowed"], miss["unit"]) == ("deadline", 90_000, 86_400, "s")
    assert miss["candidate"]["cost_usd_micro"]["expected"] == 7_654_321


def test_parts_sum_to_their_totals_in_integers(invented_plan: Plan) -> None:
    document = json.loads(plan_text(invented_plan))
    memory = document["memory"]
    assert sum(memory["parts_bytes"].values()) == memory["allocated_bytes"]["expected"]
    assert sum(memory["load_parts_bytes"].values()) == memory["load_peak_bytes"]["expected"]
    assert sum(document["duration_parts_s"].values()) == document["duration_s"]["expected"] == 4000
    assert sum(document["throughput"]["step_parts_us"].values()) == document["throughput"]["step_us"] == 1_234_568
    assert sum(line["usd_micro"] for line in document["components"]) == document["cost_usd_micro"]["expected"]


def test_a_slack_that_is_broken_by_less_than_a_unit_stays_negative(invented_plan: Plan) -> None:
    slacks = json.loads(plan_text(invented_plan))["slacks"]
    assert slacks["budget"] == -1
    assert slacks["deadline"] == 82_399
    assert "quota" not in slacks


def test_timings_never_reach_the_file(invented_plan: Plan) -> None:
    slower = dataclasses.replace(
        invented_plan, solver=dataclasses.replace(invented_plan.solver, timings_s={"physics": 99.0})
    )
    assert plan_text(slower) == plan_text(invented_plan)


def test_the_order_of_counts_does_not_matter(invented_plan: Plan) -> None:
    turned = dataclasses.replace(invented_plan, rejected=dict(reversed(invented_plan.rejected.items())))
    assert plan_text(turned) == plan_text(invented_plan)


def test_a_sweep_sums_the_money_over_its_runs(invented_sweep: Plan) -> None:
    document = json.loads(plan_text(invented_sweep))
    assert [choice["runs"] for choice in document["choices"]] == [3, 2]
    assert document["cost_usd_micro"] == {
        "low": 3 * 6_654_321 + 2 * 7_000_000,
        "expected": 3 * 7_654_321 + 2 * 8_000_000,
        "high": 3 * 9_654_321 + 2 * 10_000_000,
    }
    assert sum(line["usd_micro"] for line in document["components"]) == document["cost_usd_micro"]["expected"]
    assert document["duration_s"] == {"low": 4_000, "expected": 5_000, "high": 7_000}
    assert document["duration_parts_s"] == {"setup": 600, "train": 4_400}
    assert document["finish_s_at_confidence"] == 7_000
    assert document["finish_probability_ppm"] == 987_654
    assert [line["quantity"] for line in document["components"]] == [5 * 4001, 5 * 12_500_000_000, 5]


def test_unknown_is_null_and_never_zero(invented_plan: Plan) -> None:
    rivals = json.loads(plan_text(invented_plan))["rivals"]
    assert rivals[0]["cost_usd_micro"] == {"low": 63_840_000, "high": None}
    assert rivals[1]["cost_usd_micro"] is None


def test_a_figure_that_is_no_number_is_refused(invented_plan: Plan) -> None:
    choice = invented_plan.choices[0]
    broken = dataclasses.replace(choice, speed=dataclasses.replace(choice.speed, mfu=float("nan")))
    with pytest.raises(ValueError, match="nan has no place"):
        plan_text(dataclasses.replace(invented_plan, choices=(broken,)))


def test_a_limit_without_end_or_not_known_is_null(invented_infeasible_plan: Plan) -> None:
    (miss,) = invented_infeasible_plan.near_misses
    endless = dataclasses.replace(miss, required=float("inf"), allowed=float("nan"), unit="GB")
    plan = dataclasses.replace(invented_infeasible_plan, near_misses=(endless,))
    document = json.loads(plan_text(plan))["near_misses"][0]
    assert (document["required"], document["allowed"], document["unit"]) == (None, None, "bytes")


def test_the_lengths_of_a_dataset_are_summed_up(invented_plan: Plan) -> None:
    lengths = LengthDistribution(quantiles=tuple(range(1, 101)), count=1_000, mean=50.4, basis="measured")
    job = dataclasses.replace(invented_plan.job, lengths=lengths)
    shown = json.loads(plan_text(dataclasses.replace(invented_plan, job=job)))["job"]["lengths"]
    assert (shown["count"], shown["mean_tokens"], shown["max_tokens"], shown["basis"]) == (1_000, 50, 100, "measured")
    assert shown["p50_tokens"] == lengths.percentile(0.5) < shown["p95_tokens"] == lengths.percentile(0.95)


def test_only_a_plan_with_a_choice_is_feasible(invented_plan: Plan, invented_infeasible_plan: Plan) -> None:
    stopped = dataclasses.replace(invented_plan, status=PlanStatus.TIME_LIMIT)
    assert [is_feasible(plan) for plan in (invented_plan, stopped, invented_infeasible_plan)] == [True, True, False]
    assert not is_feasible(dataclasses.replace(stopped, choices=()))


def test_a_price_from_the_future_has_age_zero(invented_plan: Plan) -> None:
    earlier = dataclasses.replace(invented_plan, made_at=invented_plan.snapshot.oldest_observed_at)
    document = json.loads(plan_text(earlier))
    assert document["choice"]["age_s"] == document["snapshot"]["oldest_age_s"] == 0
    assert document["snapshot"]["newest_age_s"] == 0


def test_every_limit_that_must_give_way_is_listed(invented_infeasible_plan: Plan) -> None:
    miss = dataclasses.replace(
        invented_infeasible_plan.near_misses[0],
        limit="host_memory", required=1.5e9, allowed=None, unit="bytes", also=("deadline",), kind="least", priced=False,
        broken={"host_memory": 1.5e9, "deadline": 90_000.4}, allows={"host_memory": None, "deadline": 86_400.0},
        flags=(("--deadline", ("26h",)), ("--gpu", ("A", "B")), ("--budget", ())),
    )  # fmt: skip
    plan = dataclasses.replace(invented_infeasible_plan, near_misses=(miss,))
    (written,) = json.loads(plan_text(plan))["near_misses"]
    del written["candidate"], written["sentence"]
    assert written == {
        "limit": "host_memory", "required": 1_500_000_000, "allowed": None, "unit": "bytes", "kind": "least",
        "also": ["deadline"], "priced": False,
        "broken": [
            {"limit": "host_memory", "required": 1_500_000_000, "allowed": None, "unit": "bytes"},
            {"limit": "deadline", "required": 90_000, "allowed": 86_400, "unit": "s"},
        ],
        "flags": [
            {"flag": "--deadline", "values": ["26h"]}, {"flag": "--gpu", "values": ["A", "B"]},
            {"flag": "--budget", "values": []},
        ],
    }  # fmt: skip


def test_a_rival_beyond_what_a_document_holds_has_no_price(invented_plan: Plan) -> None:
    huge = dataclasses.replace(invented_plan.rivals[0], low_usd_micro=5, high_usd_micro=2**53)
    both = dataclasses.replace(huge, low_usd_micro=2**53)
    plan = dataclasses.replace(invented_plan, rivals=(huge, both))
    assert [rival["cost_usd_micro"] for rival in json.loads(plan_text(plan))["rivals"]] == [
        {"low": 5, "high": None},
        None,
    ]


@pytest.mark.parametrize(
    ("objective", "quality", "complexity"),
    [("sft", "high", "medium"), ("dpo", "highest", "very-high"), ("ppo", "highest", "very-high")],
)
def test_the_objective_has_cells_of_its_own(invented_plan: Plan, objective: str, quality: str, complexity: str) -> None:
    one = invented_plan.choices[0]
    recipe = dataclasses.replace(one.recipe, objective=Objective(objective))
    plan = dataclasses.replace(invented_plan, choices=(dataclasses.replace(one, recipe=recipe),))
    choice = json.loads(plan_text(plan))["choice"]
    assert (choice["objective_quality"], choice["objective_complexity"]) == (quality, complexity)
    assert (choice["quality"], choice["complexity"]) == ("med-high", "medium")
    assert f"({objective}): quality {quality}, complexity {complexity}; your choice" in describe_objective(objective)


def test_the_chance_of_fitting_is_written(invented_plan: Plan) -> None:
    one = invented_plan.choices[0]
    memory = dataclasses.replace(one.memory, fit_probability_ppm=987_654)
    plan = dataclasses.replace(invented_plan, choices=(dataclasses.replace(one, memory=memory),))
    assert json.loads(plan_text(plan))["memory"]["fit_probability_ppm"] == 987_654
