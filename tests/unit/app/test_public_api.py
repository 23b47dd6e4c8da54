"""The Python interface as a user writes it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import optimizer
from optimizer import Job, estimate_cost, plan
from optimizer.app.flags import RECIPE_KEYS, EstimateFlags, JobFlags, PlanFlags
from optimizer.app.recipe_choice import RecipeChoice
from optimizer.workload.job_input import JobInput
from providers.errors import JobError

if TYPE_CHECKING:
    from optimizer.app.flags import JobFlags as Flags
    from optimizer.app.public_results import PlanResult


@pytest.fixture
def flags(market_csv: Path) -> Flags:
    return {
        "model": "llama-3.1-8b", "samples": 13_300, "tokens_per_sample": 400, "epochs": 4, "deadline": "24h",
        "offers": market_csv, "only_offers": True, "now": "2031-05-06T07:08:09Z",
    }  # fmt: skip


@pytest.fixture
def answer(flags: Flags) -> PlanResult:
    return plan(**flags)


def test_a_plan_has_a_choice_with_cost_and_time(answer: PlanResult) -> None:
    assert answer.feasible
    assert answer.status == "optimal"
    assert answer.choice is not None
    assert answer.choice.offer.provider in {"nimbus", "cirrus"}
    assert answer.cost_usd is not None
    assert answer.hours is not None
    assert answer.cost_usd.low <= answer.cost_usd.expected <= answer.cost_usd.high
    assert isinstance(answer.cost_usd.expected, Decimal)
    assert answer.cost_usd.expected * 1_000_000 == answer.choice.quote.expected_usd_micro
    assert answer.hours.expected * 3600 == pytest.approx(answer.choice.duration_s.expected)
    assert answer.choices == (answer.choice,)
    assert answer.near_misses == ()


def test_runners_up_are_no_cheaper_and_top_limits_them(answer: PlanResult, flags: Flags) -> None:
    assert answer.cost_usd is not None
    costs = [candidate.quote.expected_usd_micro for candidate in answer.runners_up]
    assert costs
    assert min(costs) >= answer.cost_usd.expected * 1_000_000
    assert len(plan(**{**flags, "top": 1}).runners_up) == 1


def test_a_plan_becomes_a_document_and_its_text(answer: PlanResult) -> None:
    document = answer.to_dict()
    assert json.loads(answer.to_json()) == document
    assert document["schema"] == "tunefare.plan/v1"
    assert document["made_at"] == "2031-05-06T07:08:09Z"


def test_a_plan_becomes_a_frame(answer: PlanResult) -> None:
    frame = answer.to_pandas()
    assert list(frame["role"]) == ["choice"] + ["runner_up"] * len(answer.runners_up)
    assert answer.cost_usd is not None
    assert frame["cost_usd"][0] == pytest.approx(float(answer.cost_usd.expected))
    assert frame["cost_usd"].is_monotonic_increasing


def test_a_plan_shows_itself(answer: PlanResult) -> None:
    html = answer._repr_html_()
    assert html.startswith("<table><caption>Llama-3.1-8B: optimal</caption>")
    assert html.count("<tr>") == 2 + len(answer.runners_up)
    assert "Cheapest" in str(answer)


def test_names_from_outside_are_escaped_in_html(flags: Flags) -> None:
    assert "<script>" not in plan(**{**flags, "name": "<script>alert(1)</script>"})._repr_html_()


def test_an_infeasible_plan_is_an_answer(flags: Flags) -> None:
    answer = plan(**{**flags, "deadline": "1m"})
    assert (answer.status, answer.feasible, answer.choice) == ("infeasible", False, None)
    assert answer.cost_usd is None
    assert answer.hours is None
    assert "deadline" in {miss.limit for miss in answer.near_misses}
    frame = answer.to_pandas()
    assert set(frame["role"]) == {"near_miss"}
    assert "<th>limit</th>" in answer._repr_html_()


def test_job_file_job_object_and_arguments_say_the_same(
    flags: Flags, answer: PlanResult, tmp_path: Path, market_csv: Path
) -> None:
    file = tmp_path / "job.toml"
    file.write_text(
        'model = "llama-3.1-8b"\nsamples = 13_300\ntokens_per_sample = 400\nepochs = 4\ndeadline = "24h"\n'
        f'offers = "{market_csv}"\nonly_offers = true\nnow = "2031-05-06T07:08:09Z"\n'
    )
    job = Job(
        model="llama-3.1-8b", samples=13_300, tokens_per_sample=400, epochs=4, deadline="24h", offers=str(market_csv),
        only_offers=True, now="2031-05-06T07:08:09Z",
    )  # fmt: skip
    assert plan(file).to_json() == plan(str(file)).to_json() == plan(job).to_json() == answer.to_json()
    assert plan(file, lora_rank=8).plan.job.lora_rank == 8


def test_a_wrong_argument_is_named(flags: Flags) -> None:
    with pytest.raises(JobError, match=r"plan\(\): sample = 1: unknown key; did you mean samples\?"):
        plan(sample=1)  # type: ignore[call-arg]
    with pytest.raises(JobError, match=r"plan\(\): tokens_per_sample = -3"):
        plan(**{**flags, "tokens_per_sample": -3})
    with pytest.raises(JobError, match="job = 3: the path of a job file"):
        plan(3)  # type: ignore[arg-type]


def test_a_sweep_sums_its_money(flags: Flags, answer: PlanResult) -> None:
    three = plan(**{**flags, "runs": 3})
    assert three.cost_usd is not None
    assert answer.cost_usd is not None
    assert three.cost_usd.expected == 3 * answer.cost_usd.expected


def test_the_calculator_is_public() -> None:
    answer = estimate_cost(400, 13_300, 4, 100, 4, 0.5, 0.26)
    assert answer["tokens_total"] == 21_280_000
    assert answer["cost_usd"] == pytest.approx(21_280_000 / (100 * 0.5) / 3600 * 0.26)


def test_typed_keywords_are_the_flags() -> None:
    assert set(PlanFlags.__annotations__) == set(JobInput.model_fields)
    # How `plan` searches means nothing to one recipe on one machine.
    assert set(PlanFlags.__annotations__) - set(JobFlags.__annotations__) == {
        "robust", "simulate", "seed", "quota", "account", "charge", "dataset_digest", "policy", "requote",
    }  # fmt: skip
    assert set(RECIPE_KEYS) <= set(EstimateFlags.__annotations__)
    assert set(RECIPE_KEYS) | {"gpu", "usd_per_gpu_hour"} == set(RecipeChoice.__dataclass_fields__)


def test_importing_the_package_costs_nothing() -> None:
    code = "import optimizer, sys; print(sorted({m.split('.')[0] for m in sys.modules} & HEAVY), len(sys.modules))"
    heavy = "HEAVY = {'numpy', 'scipy', 'pandas', 'pydantic', 'typer', 'rich', 'providers', 'cache'}; "
    done = subprocess.run([sys.executable, "-c", heavy + code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ")


def test_public_names_are_listed_and_others_are_refused() -> None:
    assert set(optimizer.__all__) <= set(dir(optimizer))
    assert optimizer.Job is JobInput
    with pytest.raises(AttributeError, match="no attribute 'plann'"):
        optimizer.plann  # noqa: B018 - looked up for its error


def test_the_version_is_that_of_the_distribution() -> None:
    project = Path(optimizer.__file__).parents[1] / "pyproject.toml"
    assert tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"] == optimizer.__version__
