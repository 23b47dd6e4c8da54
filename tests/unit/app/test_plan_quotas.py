"""[[quota]] tables of a job file, on the bundled prices."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from optimizer.app.planning import plan_job
from optimizer.app.settings import Settings
from optimizer.search.results import PlanStatus
from providers.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path

    from optimizer.search.results import Plan

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
JOB = """
model = "llama-3.1-8b"
tokens = 20_000_000
deadline = "24h"
runs = 3
gpu = ["RTX-A5000-24GB", "RTX-A6000-48GB", "A100-SXM-40GB"]
pricing_model = ["on_demand"]
"""


def planned(folder: Path, text: str) -> Plan:
    path = folder / "job.toml"
    path.write_text(JOB + text, encoding="utf-8")
    return plan_job(path, settings=Settings(), now=NOW)


def gpus_of(plan: Plan) -> dict[str, int]:
    used: dict[str, int] = {}
    for one in plan.choices:
        used[one.gpu.id] = used.get(one.gpu.id, 0) + one.runs * one.offer.gpu_count * one.nodes
    return used


def test_a_quota_sends_the_rest_of_a_sweep_elsewhere(tmp_path: Path) -> None:
    free = planned(tmp_path, "")
    (cheapest,) = gpus_of(free)
    assert gpus_of(free) == {cheapest: 3}
    held = planned(tmp_path, f'[[quota]]\ngpu = "{cheapest}"\ngpus = 2\n')
    assert gpus_of(held)[cheapest] == 2
    assert sum(one.runs for one in held.choices) == 3
    cost = [sum(one.runs * one.quote.expected_usd_micro for one in plan.choices) for plan in (free, held)]
    assert cost[0] < cost[1]


def test_a_quota_of_none_leaves_nothing(tmp_path: Path) -> None:
    assert planned(tmp_path, '[[quota]]\npricing_model = "on_demand"\ngpus = 0\n').status is PlanStatus.INFEASIBLE


def test_a_gpu_is_known_by_its_other_names(tmp_path: Path) -> None:
    held = planned(tmp_path, '[[quota]]\ngpu = "rtx a5000"\ngpus = 1\n')
    assert gpus_of(held).get("RTX-A5000-24GB", 0) <= 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[quota]]\ngpu = "RTX-A50000"\ngpus = 1\n', "RTX-A5000"),
        ('[[quota]]\ngpu = "RTX-A5000-24GB"\n', "gpus"),
        ('[[quota]]\nregion = "r"\ngpus = -1\n', "-1"),
        ('[[quota]]\nregion = "r"\ngpus = 1\n[[quota]]\nregion = "r"\ngpus = 2\n', "quota 2"),
        ("[[quota]]\ngpus = 1\n", "at least one of provider"),
        ("[[quota]]\ngpus = 1\nteam = 'red'\n", "team"),
        ("quota = 3\n", "quota"),
    ],
)
def test_a_quota_that_means_nothing_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(JobError) as told:
        planned(tmp_path, text)
    assert words in str(told.value)
    assert "quota" in str(told.value)


def test_a_provider_is_known_in_any_case(tmp_path: Path) -> None:
    free = planned(tmp_path, "")
    provider = free.choices[0].offer.provider
    held = planned(tmp_path, f'[[quota]]\nprovider = "{provider.upper()}"\ngpus = 1\n')
    assert sum(one.runs for one in held.choices if one.offer.provider == provider) == 1


def test_a_mistyped_provider_is_refused_and_a_strange_one_told(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"quota: provider = 'rnpod': .* did you mean runpod\?"):
        planned(tmp_path, '[[quota]]\nprovider = "rnpod"\ngpus = 1\n')
    strange = planned(tmp_path, '[[quota]]\nprovider = "own-rack"\ngpus = 1\n')
    assert (
        "No offer of the price list counts against: own-rack. Check the names if that is a surprise." in strange.notes
    )
